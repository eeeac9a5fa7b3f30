// What a verified freeze costs: Freezer against a loop that only writes the
// request and waits, and against CRIU's own way to freeze.
//
//   sudo bazel run --config=opt //tests/bench:freeze_speed -- [--runs N]
//       [--tasks N] [--criu PATH]
//
// Prints medians of interleaved runs, their ratio, and whether the goal is
// met.  The bare loop has its files open, and does what a program in C would:
// on v2 it polls cgroup.events, on v1 it reads freezer.state again and again.
// "freeze" is the time from the request to the verified state with its
// evidence: Freezer also lists the threads twice, reads everything back and
// reports each thread.  "whole call" is all of Freezer::Freeze(), which first
// looks whether it may touch the group and notes the origin, while the tasks
// still run.  "detailed" is that with what --json tells of each thread: three
// files of /proc each, read once the group is FROZEN.  Exits with 0 whatever
// comes out.
//
// Between a thaw and the next freeze the tasks are given the time to go back to
// sleep: one that has not run since the thaw counts as frozen at once.  And the
// kernel is given 20 ms: it sends no more than one event of v2 in 10 ms, so
// that the bare loop would be told late.

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "criu/binary.h"
#include "freezer/cgroup.h"
#include "freezer/freezer.h"
#include "store/dump_stats.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"

namespace ckpt {
namespace {

constexpr double kBareGoal = 1.5;  // ckpt / bare, at most
constexpr double kCriuGoal = 10;   // CRIU / ckpt, at least
constexpr double kNoGoal = 0;
constexpr absl::Duration kLimit = absl::Seconds(60);

[[noreturn]] void Die(absl::string_view what, const absl::Status& status) {
  std::fprintf(stderr, "freeze_speed: %s: %s\n", std::string(what).c_str(),
               status.ToString().c_str());
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): one thread
}

void OrDie(absl::string_view what, const absl::Status& status) {
  if (!status.ok()) Die(what, status);
}

template <typename T>
T OrDie(absl::string_view what, absl::StatusOr<T> value) {
  if (!value.ok()) Die(what, value.status());
  return *std::move(value);
}

absl::Time Deadline() { return Clock::Real().Now() + kLimit; }

// A process of `threads` threads that sleep, in `group`; it lives as long as
// the object.
class Sleepers {
 public:
  Sleepers(const TestCgroup& group, int threads) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      Die("pipe2", ErrnoToStatus(errno, "pipe2"));
    }
    pid_ = ::fork();
    if (pid_ == 0) SleepFor(ends[1], threads);
    ::close(ends[1]);
    const UniqueFd ready(ends[0]);
    char byte;
    if (::read(ready.get(), &byte, 1) != 1) {
      Die("threads", absl::ResourceExhaustedError("cannot start so many"));
    }
    OrDie("join", group.Add(pid_));
  }

  ~Sleepers() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  Sleepers(const Sleepers&) = delete;
  Sleepers& operator=(const Sleepers&) = delete;

 private:
  static void* Sleep(void* /*unused*/) {
    for (;;) ::pause();
  }

  [[noreturn]] static void SleepFor(int ready_fd, int threads) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, 64UL * 1024);
    for (int i = 1; i < threads; ++i) {
      pthread_t thread;
      if (::pthread_create(&thread, &attributes, &Sleep, nullptr) != 0) {
        ::_exit(1);
      }
    }
    (void)!::write(ready_fd, "x", 1);
    for (;;) ::pause();
  }

  pid_t pid_;
};

// The least that a program can do.
class BareFreezer {
 public:
  explicit BareFreezer(const TestCgroup& group)
      : is_v2_(group.version() == CgroupVersion::kV2),
        request_(
            Open(group, is_v2_ ? "cgroup.freeze" : "freezer.state", O_WRONLY)),
        state_(Open(group, is_v2_ ? "cgroup.events" : "freezer.state",
                    O_RDONLY)) {}

  void Freeze() {
    Request(is_v2_ ? "1" : "FROZEN");
    Await(is_v2_ ? "frozen 1" : "FROZEN");
  }

  void Thaw() {
    Request(is_v2_ ? "0" : "THAWED");
    Await(is_v2_ ? "frozen 0" : "THAWED");
  }

 private:
  static UniqueFd Open(const TestCgroup& group, const char* name, int flags) {
    return UniqueFd(::open(absl::StrCat(group.path(), "/", name).c_str(),
                           flags | O_CLOEXEC));
  }

  void Request(const char* word) const {
    const auto size = static_cast<ssize_t>(std::strlen(word));
    if (::pwrite(request_.get(), word, size, 0) != size) {
      Die("write", ErrnoToStatus(errno, "write", word));
    }
  }

  void Await(const char* word) const {
    for (;;) {
      char text[256] = {};
      (void)!::pread(state_.get(), text, sizeof text - 1, 0);
      if (std::strstr(text, word) != nullptr) return;
      if (!is_v2_) continue;
      pollfd changed = {state_.get(), POLLPRI, 0};
      (void)::poll(&changed, 1, -1);
    }
  }

  const bool is_v2_;
  const UniqueFd request_;
  const UniqueFd state_;
};

template <typename Call>
absl::Duration TimeOf(Call call) {
  const absl::Time start = Clock::Real().Now();
  call();
  return Clock::Real().Now() - start;
}

absl::Duration Median(std::vector<absl::Duration> values) {
  const auto middle =
      values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

absl::Duration Mean(const std::vector<absl::Duration>& values) {
  return std::accumulate(values.begin(), values.end(), absl::ZeroDuration()) /
         static_cast<int64_t>(values.size());
}

struct Samples {
  std::vector<absl::Duration> bare_freeze, bare_thaw;
  std::vector<absl::Duration> ckpt_freeze, ckpt_thaw;  // from the request on
  std::vector<absl::Duration> ckpt_call;  // all of Freezer::Freeze()
  std::vector<absl::Duration> ckpt_detailed;
};

void PrintRow(absl::string_view freezer, int tasks, absl::string_view step,
              const std::vector<absl::Duration>& theirs,
              const std::vector<absl::Duration>& ours, bool ours_first,
              double goal) {
  const absl::Duration their_median = Median(theirs);
  const absl::Duration our_median = Median(ours);
  const double ratio = ours_first
                           ? absl::FDivDuration(their_median, our_median)
                           : absl::FDivDuration(our_median, their_median);
  const bool met = ours_first ? ratio >= goal : ratio <= goal;
  const char* const verdict = goal == kNoGoal ? "" : met ? "met" : "MISSED";
  std::printf("%-7s %6d  %-10s %10.3f %10.3f %8.2f  %s\n",
              std::string(freezer).c_str(), tasks, std::string(step).c_str(),
              absl::ToDoubleMilliseconds(their_median),
              absl::ToDoubleMilliseconds(our_median), ratio, verdict);
  std::fflush(stdout);
}

void LetSettle(int tasks) {
  Clock::Real().Sleep(absl::Milliseconds(20) + tasks * absl::Microseconds(30));
}

void RunBare(BareFreezer& bare, int tasks, Samples& samples) {
  LetSettle(tasks);
  samples.bare_freeze.push_back(TimeOf([&] { bare.Freeze(); }));
  samples.bare_thaw.push_back(TimeOf([&] { bare.Thaw(); }));
}

// Its report, and how long the whole call took.
v1::FreezeReport FreezeAll(freezer::Freezer& freezer, int tasks, bool detailed,
                           std::vector<absl::Duration>& times) {
  absl::StatusOr<v1::FreezeReport> report;
  LetSettle(tasks);
  times.push_back(TimeOf([&] {
    report = freezer.Freeze({.deadline = Deadline(), .list_tasks = detailed});
  }));
  if (OrDie("freeze", report).tasks_size() != tasks) {
    Die("freeze", absl::InternalError("threads are missing"));
  }
  return *std::move(report);
}

absl::Duration Thaw(freezer::Freezer& freezer) {
  auto report = freezer.Thaw({.deadline = Deadline()});
  return absl::Seconds(OrDie("thaw", std::move(report)).seconds());
}

void RunCkpt(freezer::Freezer& freezer, int tasks, Samples& samples) {
  samples.ckpt_freeze.push_back(absl::Seconds(
      FreezeAll(freezer, tasks, /*detailed=*/false, samples.ckpt_call)
          .seconds()));
  samples.ckpt_thaw.push_back(Thaw(freezer));
  FreezeAll(freezer, tasks, /*detailed=*/true, samples.ckpt_detailed);
  Thaw(freezer);
}

void CompareWithBare(CgroupVersion version, int tasks, int runs) {
  const auto group = OrDie("group", TestCgroup::Create(version));
  const Sleepers sleepers(*group, tasks);
  const auto cgroup = OrDie("group", freezer::OpenCgroup(group->path()));
  freezer::Freezer freezer(*cgroup, ProcFs::Real(), Clock::Real());
  BareFreezer bare(*group);
  Samples samples;
  for (int run = 0; run <= runs; ++run) {
    if (run % 2 == 0) RunBare(bare, tasks, samples);
    RunCkpt(freezer, tasks, samples);
    if (run % 2 != 0) RunBare(bare, tasks, samples);
    if (run == 0) samples = {};  // the first round warms up
  }
  const absl::string_view name = CgroupVersionName(version);
  PrintRow(name, tasks, "freeze", samples.bare_freeze, samples.ckpt_freeze,
           false, kBareGoal);
  PrintRow(name, tasks, "whole call", samples.bare_freeze, samples.ckpt_call,
           false, kNoGoal);
  PrintRow(name, tasks, "detailed", samples.bare_freeze, samples.ckpt_detailed,
           false, kNoGoal);
  PrintRow(name, tasks, "thaw", samples.bare_thaw, samples.ckpt_thaw, false,
           kBareGoal);
}

// CRIU's freezing_time for a dump of `job` that leaves it running.
absl::Duration FreezingTimeOfCriu(const std::string& criu, const Job& job,
                                  const TestCgroup& group) {
  const TestDir dir;
  const CommandResult result = OrDie(
      "criu", RunCommand({criu, "dump", "--tree", absl::StrCat(job.pid()),
                          "--images-dir", dir.path(), "--log-file", "dump.log",
                          "--leave-running", "--freeze-cgroup", group.path()}));
  if (result.exit_status != 0) {
    Die("criu dump", absl::InternalError(result.err));
  }
  const UniqueFd fd = OrDie("images", OpenDirectory(dir.path()));
  return OrDie("stats-dump", ReadDumpStats(fd.get())).freezing;
}

struct SmallJob {
  const char* name;
  int tasks;
  const char* script;  // of a shell, which counts as a task
};

// CRIU asks for the freeze, looks, and sleeps 100 ms if the group is not FROZEN
// yet.  Which of both it is depends on how fast the tasks get a CPU: so the
// same is measured on the machine as it is, and with a busy process a CPU.
constexpr SmallJob kSmallJobs[] = {
    {"1 asleep", 1, "exec sleep infinity"},
    {"1 at work", 1, "while :; do :; done"},
    {"10 asleep", 10,
     "for i in 2 3 4 5 6 7 8 9 10; do sleep 9999 & done; wait"},
};

class BusyProcesses {
 public:
  explicit BusyProcesses(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      pids_.push_back(::fork());
      if (pids_.back() != 0) continue;
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) {
      }
    }
  }
  ~BusyProcesses() {
    for (const pid_t pid : pids_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  BusyProcesses(const BusyProcesses&) = delete;
  BusyProcesses& operator=(const BusyProcesses&) = delete;

 private:
  std::vector<pid_t> pids_;
};

void AwaitTasks(freezer::Cgroup& group, int tasks) {
  const absl::Time deadline = Deadline();
  while (OrDie("tasks", group.Threads()).size() != static_cast<size_t>(tasks)) {
    if (Clock::Real().Now() > deadline) {
      Die("job", absl::InternalError("it does not start"));
    }
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
}

void CompareWithCriu(const std::string& criu, const char* machine,
                     const SmallJob& small, int runs) {
  const auto group = OrDie("group", TestCgroup::Create(CgroupVersion::kV2));
  Job::Options options;
  options.argv = {"/bin/sh", "-c", small.script};
  options.cgroups = {group.get()};
  const Job job = OrDie("job", Job::Start(options));
  const auto cgroup = OrDie("group", freezer::OpenCgroup(group->path()));
  AwaitTasks(*cgroup, small.tasks);
  freezer::Freezer freezer(*cgroup, ProcFs::Real(), Clock::Real());
  std::vector<absl::Duration> theirs;
  Samples ours;
  for (int run = 0; run <= runs; ++run) {
    theirs.push_back(FreezingTimeOfCriu(criu, job, *group));
    RunCkpt(freezer, small.tasks, ours);
    if (run == 0) {
      theirs.clear();
      ours = {};
    }
  }
  PrintRow(machine, small.tasks, small.name, theirs, ours.ckpt_call, true,
           kCriuGoal);
  PrintRow(machine, small.tasks, "  mean", {Mean(theirs)},
           {Mean(ours.ckpt_call)}, true, kNoGoal);
}

int Main(int argc, char** argv) {
  int runs = 21;
  std::vector<int> task_counts = {1, 100, 1000, 5000};
  std::string criu;
  for (int i = 1; i < argc; i += 2) {
    const absl::string_view name = argv[i];
    const bool has_value = i + 1 < argc;
    int number = 0;
    if (has_value && name == "--criu") {
      criu = argv[i + 1];
    } else if (has_value && (name == "--runs" || name == "--tasks") &&
               absl::SimpleAtoi(argv[i + 1], &number) && number > 0) {
      if (name == "--runs") runs = number;
      if (name == "--tasks") task_counts = {number};
    } else {
      std::fprintf(
          stderr, "usage: freeze_speed [--runs N] [--tasks N] [--criu PATH]\n");
      return 64;
    }
  }
  criu = OrDie("criu", criu::FindCriu(criu));
  BecomeReaper();
  std::printf("medians of %d interleaved runs, milliseconds\n", runs);
  std::printf("%-7s %6s  %-10s %10s %10s %8s  goal: ckpt <= %.1f x bare\n",
              "freezer", "tasks", "step", "bare", "ckpt", "ratio", kBareGoal);
  for (const CgroupVersion version : {CgroupVersion::kV2, CgroupVersion::kV1}) {
    for (const int tasks : task_counts) CompareWithBare(version, tasks, runs);
  }
  std::printf("%-7s %6s  %-10s %10s %10s %8s  goal: CRIU >= %.0f x ckpt\n",
              "machine", "tasks", "step", "CRIU", "ckpt", "ratio", kCriuGoal);
  for (const SmallJob& job : kSmallJobs) {
    CompareWithCriu(criu, "as is", job, runs);
  }
  const BusyProcesses busy(std::thread::hardware_concurrency());
  for (const SmallJob& job : kSmallJobs) {
    CompareWithCriu(criu, "busy", job, runs);
  }
  return 0;
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main(argc, argv); }
