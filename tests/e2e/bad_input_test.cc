// What users get wrong, and what goes wrong for them: each time one clear error
// with the right code, and the job goes on as if nothing had been asked.

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/proc.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

constexpr int kUsage = 64;

class BadInputTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    BecomeReaper();
    group_ = NewGroup();
    ASSERT_NO_FATAL_FAILURE(Start("counter"));
  }

  std::unique_ptr<TestCgroup> NewGroup() {
    auto group = TestCgroup::Create(GetParam());
    EXPECT_TRUE(group.ok()) << group.status();
    return *std::move(group);
  }

  void Start(const std::string& workload) {
    Job::Options options;
    options.argv = WorkloadNamed(workload).CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    root_ = job->pid();
    ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  }

  // Another process of the test's own, in `group`.
  pid_t StartForeigner(const TestCgroup& group) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    EXPECT_EQ(group.Add(pid), absl::OkStatus());
    foreigners_.push_back(pid);
    return pid;
  }

  void TearDown() override {
    for (const pid_t pid : foreigners_) {
      ::kill(pid, SIGKILL);
      ::kill(pid, SIGCONT);
      ::waitpid(pid, nullptr, 0);
    }
  }

  static void ExpectError(const CommandResult& result, int exit_status,
                          const std::vector<std::string>& words) {
    EXPECT_EQ(result.exit_status, exit_status) << result.err;
    for (const std::string& word : words) {
      EXPECT_TRUE(absl::StrContains(result.err, word))
          << "no '" << word << "' in: " << result.err;
    }
  }

  void ExpectRefused(std::vector<std::string> words, absl::StatusCode code,
                     const std::vector<std::string>& message) {
    ExpectError(ckpt_.Run(std::move(words)), static_cast<int>(code), message);
  }

  // ckpt in `inside` is not to touch the job's group.
  void ExpectRefusedInside(const TestCgroup& inside) {
    CommandOptions options;
    options.cgroups = {&inside};
    for (const char* verb : {"dump", "freeze", "kill"}) {
      std::vector<std::string> words = {verb, "--cgroup", group_->path()};
      if (std::string(verb) == "dump") {
        words.insert(words.end(), {"--image", "image"});
      }
      const auto result = RunCommand(ckpt_.CommandLine(words), options);
      ASSERT_TRUE(result.ok()) << result.status();
      ExpectError(*result,
                  static_cast<int>(absl::StatusCode::kFailedPrecondition),
                  {"holds ckpt itself", "another group"});
    }
    ExpectUntouched();
  }

  std::vector<std::string> Dump(const std::string& image = "image") {
    return {"dump", "--cgroup", group_->path(), "--image", image};
  }

  // The job runs, thawed, and there is neither an image nor a rest of one.
  void ExpectUntouched() {
    const auto state = group_->State();
    ASSERT_TRUE(state.ok());
    EXPECT_STREQ(CgroupStateName(*state), "THAWED");
    EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(ckpt_.store(), error)) {
      ADD_FAILURE() << "left behind: " << entry.path();
    }
  }

  // An image of the job, which has ended.
  void DumpJob() {
    const CommandResult result = ckpt_.Run(Dump());
    ASSERT_EQ(result.exit_status, 0) << result.err;
    const std::vector<pid_t> pids = {root_};
    ASSERT_EQ(WaitUntilGone(pids, Soon()), absl::OkStatus());
  }

  std::string ImageFile(const std::string& name) {
    return absl::StrCat(ckpt_.store(), "/image/", name);
  }

  void ExpectNothingRuns() { EXPECT_TRUE(group_->Processes().empty()); }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> group_;
  pid_t root_ = 0;
  std::vector<pid_t> foreigners_;
};

std::string VersionCase(const testing::TestParamInfo<CgroupVersion>& info) {
  return CgroupVersionName(info.param);
}

INSTANTIATE_TEST_SUITE_P(All, BadInputTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionCase);

TEST_P(BadInputTest, WithoutRootItSaysSo) {
  // Somewhere that the other user can reach.
  const std::string copy = ckpt_.dir().File("ckpt");
  fs::copy_file(CkptRunner::Binary(), copy);
  ASSERT_EQ(::chmod(ckpt_.dir().path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(copy.c_str(), 0755), 0);
  const auto result = RunCommand({"setpriv", "--reuid=65534", "--regid=65534",
                                  "--clear-groups", copy, "dump", "--cgroup",
                                  group_->path(), "--image", "image"});
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectError(*result, static_cast<int>(absl::StatusCode::kPermissionDenied),
              {"needs root", "65534", "nothing was touched"});
  ExpectUntouched();
}

TEST_P(BadInputTest, CommandLineOfOtherBytesThanUtf8LeavesTheImageReadable) {
  const auto group = NewGroup();
  Job::Options options;
  options.argv = {"/bin/sh", "-c", "while :; do sleep 1000; done # \xff"};
  options.cgroups = {group.get()};
  const auto job = Job::Start(options);
  ASSERT_TRUE(job.ok()) << job.status();
  const CommandResult dump =
      ckpt_.Run({"dump", "--cgroup", group->path(), "--image", "bytes"});
  ASSERT_EQ(dump.exit_status, 0) << dump.err;
  EXPECT_EQ(ckpt_.Run({"verify", "bytes"}).exit_status, 0);
}

TEST_P(BadInputTest, UnknownCgroupIsNamedWithThePlacesLookedAt) {
  ExpectRefused({"dump", "--cgroup", "no-such-group", "--image", "image"},
                absl::StatusCode::kNotFound,
                {"no-such-group", "does not exist", "/sys/fs/cgroup"});
  ExpectUntouched();
}

TEST_P(BadInputTest, RootCgroupIsRefusedWithAdvice) {
  const auto mount = CgroupMount(GetParam());
  ASSERT_TRUE(mount.ok());
  for (const char* verb : {"dump", "freeze", "kill"}) {
    std::vector<std::string> words = {verb, "--cgroup", *mount};
    if (std::string(verb) == "dump") {
      words.insert(words.end(), {"--image", "image"});
    }
    ExpectRefused(words, absl::StatusCode::kFailedPrecondition,
                  {*mount, "root", "group of its own"});
  }
  ExpectUntouched();
}

TEST_P(BadInputTest, OwnCgroupIsRefused) { ExpectRefusedInside(*group_); }

TEST_P(BadInputTest, CgroupAboveOnesOwnIsRefused) {
  const auto inner = group_->CreateChild("inner");
  ASSERT_TRUE(inner.ok()) << inner.status();
  const auto innermost = (*inner)->CreateChild("innermost");
  ASSERT_TRUE(innermost.ok()) << innermost.status();
  ExpectRefusedInside(**innermost);
}

TEST_P(BadInputTest, EmptyCgroupIsRefused) {
  const auto empty = NewGroup();
  ExpectRefused({"dump", "--cgroup", empty->path(), "--image", "image"},
                absl::StatusCode::kNotFound, {empty->path(), "no process"});
  ExpectUntouched();
}

TEST_P(BadInputTest, StrayOfTheTreeIsNamedWithItsGroup) {
  ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
  ReapAll();
  ASSERT_NO_FATAL_FAILURE(Start("pipes"));
  const auto children = ProcFs::Real().Children(root_);
  ASSERT_TRUE(children.ok());
  const pid_t stray = children->front();
  const auto other = NewGroup();
  ASSERT_EQ(other->Add(stray), absl::OkStatus());
  ExpectRefused(
      Dump(), absl::StatusCode::kFailedPrecondition,
      {absl::StrCat(stray, " (pipes"), fs::path(other->path()).filename(),
       "outside cgroup", "the job runs on"});
  ExpectUntouched();
  ASSERT_EQ(group_->Add(stray), absl::OkStatus());
}

TEST_P(BadInputTest, ForeignTaskInTheCgroupIsNamed) {
  const pid_t foreigner = StartForeigner(*group_);
  std::vector<std::string> words = Dump();
  words.insert(words.end(), {"--pid", absl::StrCat(root_)});
  ExpectRefused(words, absl::StatusCode::kFailedPrecondition,
                {absl::StrCat(foreigner, " ("), "do not belong to the tree",
                 "the job runs on"});
  ExpectUntouched();
}

TEST_P(BadInputTest, SeveralTreesAreNamed) {
  const pid_t foreigner = StartForeigner(*group_);
  ExpectRefused(Dump(), absl::StatusCode::kFailedPrecondition,
                {"2 process trees", absl::StrCat(root_, " ("),
                 absl::StrCat(foreigner, " (")});
  ExpectUntouched();
}

TEST_P(BadInputTest, StoppedTaskIsNamed) {
  ASSERT_EQ(::kill(root_, SIGSTOP), 0);
  ExpectRefused(Dump(), absl::StatusCode::kFailedPrecondition,
                {absl::StrCat(root_, " (counter)"), "is stopped", "SIGCONT"});
  ASSERT_EQ(::kill(root_, SIGCONT), 0);
  ExpectUntouched();
}

TEST_P(BadInputTest, StoppedTaskOfAFrozenGroupIsNamed) {
  ASSERT_EQ(::kill(root_, SIGSTOP), 0);
  ASSERT_EQ(ckpt_.Run({"freeze", "--cgroup", group_->path()}).exit_status, 0);
  ExpectRefused(Dump(), absl::StatusCode::kFailedPrecondition,
                {absl::StrCat(root_, " (counter)"), "is stopped"});
  ASSERT_EQ(group_->Thaw(), absl::OkStatus());
  ASSERT_EQ(::kill(root_, SIGCONT), 0);
  ExpectUntouched();
}

TEST_P(BadInputTest, TracedTaskIsNamedWithItsTracer) {
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, root_, nullptr, nullptr), 0);
  ExpectRefused(Dump(), absl::StatusCode::kFailedPrecondition,
                {absl::StrCat(root_, " (counter)"), "is traced by process",
                 absl::StrCat(::getpid())});
  ASSERT_EQ(::kill(root_, SIGSTOP), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(root_, &status, __WALL), root_);
  ASSERT_EQ(::ptrace(PTRACE_DETACH, root_, nullptr, nullptr), 0);
  ASSERT_EQ(::kill(root_, SIGCONT), 0);
  ExpectUntouched();
}

TEST_P(BadInputTest, FrozenAncestorIsNamed) {
  const auto child = group_->CreateChild("inner");
  ASSERT_TRUE(child.ok());
  ASSERT_EQ((*child)->Add(root_), absl::OkStatus());
  ASSERT_EQ(group_->RequestFreeze(), absl::OkStatus());
  ASSERT_EQ(group_->AwaitState(CgroupState::kFrozen, Soon()), absl::OkStatus());
  ExpectRefused({"dump", "--cgroup", (*child)->path(), "--image", "image"},
                absl::StatusCode::kFailedPrecondition,
                {group_->path(), "ancestor", "thaw"});
  ASSERT_EQ(group_->Thaw(), absl::OkStatus());
  ASSERT_EQ(group_->Add(root_), absl::OkStatus());
  ExpectUntouched();
}

TEST_P(BadInputTest, FullStoreCostsTheJobNothing) {
  ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
  ReapAll();
  const std::string small = ckpt_.dir().MakeDirectory("small");
  ASSERT_EQ(::mount("none", small.c_str(), "tmpfs", 0, "size=4m"), 0);
  ASSERT_NO_FATAL_FAILURE(Start("memory"));  // 16 MiB
  ExpectRefused(Dump(small + "/image"), absl::StatusCode::kResourceExhausted,
                {"the job runs on"});
  EXPECT_TRUE(fs::is_empty(small));
  ASSERT_EQ(::umount(small.c_str()), 0);
  ExpectUntouched();
}

TEST_P(BadInputTest, StoreWithoutAnyRoomIsRefusedFirst) {
  const std::string small = ckpt_.dir().MakeDirectory("small");
  ASSERT_EQ(::mount("none", small.c_str(), "tmpfs", 0, "size=64k"), 0);
  ExpectRefused(Dump(small + "/image"), absl::StatusCode::kResourceExhausted,
                {small});
  ASSERT_EQ(::umount(small.c_str()), 0);
  ExpectUntouched();
}

TEST_P(BadInputTest, ReadOnlyStoreIsRefused) {
  const std::string sealed = ckpt_.dir().MakeDirectory("sealed");
  ASSERT_EQ(::mount("none", sealed.c_str(), "tmpfs", MS_RDONLY, ""), 0);
  ExpectRefused(Dump(sealed + "/image"), absl::StatusCode::kPermissionDenied,
                {sealed});
  ASSERT_EQ(::umount(sealed.c_str()), 0);
  ExpectUntouched();
}

TEST_P(BadInputTest, ExistingImageIsNotTouched) {
  const std::string there = ckpt_.dir().MakeDirectory("there");
  std::ofstream(there + "/precious") << "data";
  ExpectRefused(Dump(there), absl::StatusCode::kAlreadyExists, {there});
  EXPECT_TRUE(fs::exists(there + "/precious"));
  ExpectUntouched();
}

TEST_P(BadInputTest, WrongNamesAndOptionsAreRefused) {
  ExpectRefused(Dump(".hidden"), absl::StatusCode::kInvalidArgument,
                {".hidden"});
  std::vector<std::string> words = Dump();
  words.insert(words.end(), {"--network-lock", "magic"});
  ExpectRefused(words, absl::StatusCode::kInvalidArgument,
                {"magic", "nftables"});
  ExpectError(ckpt_.Run({"dump", "--nonsense"}), kUsage,
              {"--nonsense", "--help"});
  ExpectError(ckpt_.Run({"dumb"}), kUsage, {"dumb"});
  ExpectUntouched();
}

TEST_P(BadInputTest, DumpThatTakesTooLongIsGivenUp) {
  ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
  ReapAll();
  ASSERT_NO_FATAL_FAILURE(Start("memory"));
  std::vector<std::string> words = Dump();
  words.insert(words.end(), {"--timeout", "20ms"});
  ExpectRefused(words, absl::StatusCode::kDeadlineExceeded, {"in time"});
  ExpectUntouched();
}

TEST_P(BadInputTest, ConfigFileMayNotTakeTheFreezerAway) {
  const std::string config = ckpt_.dir().File("criu.conf");
  std::ofstream(config) << "# mine\nmanage-cgroups=full\n";
  std::vector<std::string> words = Dump();
  words.insert(words.end(), {"--criu-config", config});
  ExpectRefused(words, absl::StatusCode::kInvalidArgument,
                {absl::StrCat(config, ":2"), "manage-cgroups"});
  ExpectUntouched();
}

TEST_P(BadInputTest, MissingCriuIsNamed) {
  std::vector<std::string> words = Dump();
  words.insert(words.end(), {"--criu", "/nonexistent/criu"});
  ExpectRefused(words, absl::StatusCode::kInvalidArgument,
                {"/nonexistent/criu", "nothing was touched"});
  ExpectUntouched();
}

TEST_P(BadInputTest, OldCriuIsRefusedWithItsVersion) {
  // Answers the request for the version as CRIU 3.17 would.
  const std::string old = ckpt_.dir().File("old-criu");
  std::ofstream(old) << "#!/usr/bin/python3\n"
                        "import socket, sys\n"
                        "s = socket.socket(fileno=int(sys.argv[-1]))\n"
                        "s.recv(4096)\n"
                        "s.send(bytes.fromhex('080a1001520408031011'))\n"
                        "s.recv(4096)\n";
  ASSERT_EQ(::chmod(old.c_str(), 0755), 0);
  std::vector<std::string> words = Dump();
  words.insert(words.end(), {"--criu", old});
  ExpectRefused(words, absl::StatusCode::kFailedPrecondition,
                {"3.17", old, "4.1", "too old"});
  ExpectUntouched();
}

TEST_P(BadInputTest, UnknownImageIsNamed) {
  ExpectRefused({"restore", "nothing"}, absl::StatusCode::kNotFound,
                {"nothing"});
  ExpectUntouched();
}

TEST_P(BadInputTest, ImageWithoutAFileDoesNotStart) {
  ASSERT_NO_FATAL_FAILURE(DumpJob());
  const std::string name = absl::StrCat("mm-", root_, ".img");
  ASSERT_TRUE(fs::remove(ImageFile(name)));
  ExpectRefused({"restore", "image"}, absl::StatusCode::kDataLoss, {name});
  ExpectNothingRuns();
}

TEST_P(BadInputTest, TruncatedImageDoesNotStart) {
  ASSERT_NO_FATAL_FAILURE(DumpJob());
  const std::string pages = ImageFile("pages-1.img");
  fs::resize_file(pages, fs::file_size(pages) / 2);
  ExpectRefused({"restore", "image"}, absl::StatusCode::kDataLoss,
                {"pages-1.img"});
  ExpectNothingRuns();
}

TEST_P(BadInputTest, ImageWithOneBitFlippedDoesNotStart) {
  ASSERT_NO_FATAL_FAILURE(DumpJob());
  std::fstream pages(ImageFile("pages-1.img"),
                     std::ios::in | std::ios::out | std::ios::binary);
  pages.seekg(4321);
  const char byte = static_cast<char>(pages.get());
  pages.seekp(4321);
  pages.put(static_cast<char>(byte ^ 4));
  pages.close();
  ExpectRefused({"restore", "image"}, absl::StatusCode::kDataLoss,
                {"pages-1.img"});
  ExpectNothingRuns();
}

TEST_P(BadInputTest, TakenPidIsNamedWithItsHolder) {
  const CommandResult dump = ckpt_.Run([&] {
    std::vector<std::string> words = Dump();
    words.push_back("--leave-running");
    return words;
  }());
  ASSERT_EQ(dump.exit_status, 0) << dump.err;
  const auto other = NewGroup();
  ExpectRefused({"restore", "image", "--cgroup", other->path()},
                absl::StatusCode::kFailedPrecondition,
                {absl::StrCat("process id ", root_), "(counter)",
                 fs::path(group_->path()).filename(), "nothing was started"});
  EXPECT_TRUE(other->Processes().empty());
  EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
}

TEST_P(BadInputTest, ChangedFileIsNamed) {
  ASSERT_NO_FATAL_FAILURE(DumpJob());
  fs::resize_file(status_path_, fs::file_size(status_path_) + 1);
  ExpectRefused({"restore", "image"}, absl::StatusCode::kFailedPrecondition,
                {status_path_, "257 bytes", "256"});
  ExpectNothingRuns();
}

TEST_P(BadInputTest, ReplacedProgramIsNamed) {
  // A program of the test's own, to be replaced by one of the same size.
  ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
  ReapAll();
  const std::string program = ckpt_.dir().File("program");
  fs::copy_file(RunfilesPath("tests/testcases/counter"), program);
  Job::Options options;
  options.argv = {program, "--status", status_path_};
  options.cgroups = {group_.get()};
  const auto job = Job::Start(options);
  ASSERT_TRUE(job.ok()) << job.status();
  root_ = job->pid();
  ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(DumpJob());
  std::ofstream(program, std::ios::app) << "x";
  ExpectRefused({"restore", "image"}, absl::StatusCode::kFailedPrecondition,
                {program, "mapped", "bytes"});
  ExpectNothingRuns();
}

TEST_P(BadInputTest, GroupWithTasksIsNoTargetForARestore) {
  ASSERT_NO_FATAL_FAILURE(DumpJob());
  const auto other = NewGroup();
  const pid_t foreigner = StartForeigner(*other);
  ExpectRefused({"restore", "image", "--cgroup", other->path()},
                absl::StatusCode::kFailedPrecondition,
                {other->path(), "not empty", absl::StrCat(foreigner)});
  EXPECT_EQ(other->Processes(), std::vector<pid_t>{foreigner});
  ExpectNothingRuns();
}

TEST_P(BadInputTest, FrozenGroupIsNoTargetForARestore) {
  ASSERT_NO_FATAL_FAILURE(DumpJob());
  ASSERT_EQ(group_->RequestFreeze(), absl::OkStatus());
  ExpectRefused({"restore", "image"}, absl::StatusCode::kFailedPrecondition,
                {group_->path(), "frozen", "thaw"});
  ExpectNothingRuns();
}

}  // namespace
}  // namespace ckpt
