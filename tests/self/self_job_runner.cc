#include "tests/self/self_job_runner.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr char kProgram[] = "tests/self/self_job";
constexpr absl::Duration kPollInterval = absl::Milliseconds(2);

}  // namespace

SelfJob::SelfJob(CgroupVersion version) {
  BecomeReaper();
  auto group = TestCgroup::Create(version);
  EXPECT_TRUE(group.ok()) << group.status();
  if (group.ok()) group_ = *std::move(group);
}

void SelfJob::Start(std::vector<std::string> words,
                    const std::vector<std::string>& env, bool held) {
  ASSERT_NE(group_, nullptr);
  Job::Options options;
  options.argv = {RunfilesPath(kProgram)};
  options.env = env;
  if (held) words.insert(words.end(), {"--wait-for", go_path_});
  // Which hierarchy is meant, whatever groups the test itself is in.
  for (const char* const argument :
       {"--freezer", CgroupVersionName(group_->version())}) {
    words.insert(words.end(), {"--argument", argument});
  }
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  options.argv.insert(options.argv.end(),
                      {status_path_, store_, CkptRunner::Binary()});
  options.cgroups = {group_.get()};
  const auto job = Job::Start(options);
  ASSERT_TRUE(job.ok()) << job.status();
  root_ = job->pid();
  ASSERT_EQ(AwaitLine("ready"), "ready");
  tree_ = Tree();
}

void SelfJob::Go(int call) {
  const auto file =
      OpenAt(AT_FDCWD, absl::StrCat(go_path_, ".", call), O_WRONLY | O_CREAT);
  ASSERT_TRUE(file.ok()) << file.status();
}

std::vector<std::string> SelfJob::Lines() const {
  const auto text = ReadFile(status_path_);
  if (!text.ok()) return {};
  std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  lines.pop_back();  // after the last newline
  return lines;
}

std::string SelfJob::AwaitLine(const std::string& start) {
  const absl::Time deadline = Soon();
  for (;;) {
    const std::vector<std::string> lines = Lines();
    for (; seen_ < lines.size(); ++seen_) {
      if (absl::StartsWith(lines[seen_], start)) return lines[seen_++];
    }
    if (Clock::Real().Now() > deadline) return "";
    Clock::Real().Sleep(kPollInterval);
  }
}

std::vector<pid_t> SelfJob::Tree() const {
  const auto tree = ProcessTree(ProcFs::Real(), root_);
  return tree.ok() ? *tree : std::vector<pid_t>();
}

pid_t SelfJob::AwaitStoppedHelper() const {
  ProcFs& proc = ProcFs::Real();
  const std::string command =
      absl::StrJoin(std::vector<std::string>{"ckpt", "self-dump", "--pid",
                                             absl::StrCat(root_)},
                    absl::string_view("\0", 1));
  const absl::Time deadline = Soon();
  while (Clock::Real().Now() < deadline) {
    const auto pids = proc.Processes();
    for (const pid_t pid : pids.ok() ? *pids : std::vector<pid_t>()) {
      const auto cmdline = proc.Read(pid, "cmdline");
      if (!cmdline.ok() || !absl::StartsWith(*cmdline, command)) continue;
      const auto stat = proc.Stat(pid);
      if (stat.ok() && stat->state == 'T') return pid;
    }
    Clock::Real().Sleep(kPollInterval);
  }
  return 0;
}

void SelfJob::End() {
  ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(AwaitEnd());
}

void SelfJob::AwaitEnd() {
  ASSERT_EQ(WaitUntilGone(tree_, Soon()), absl::OkStatus());
}

void SelfJob::Restore(const std::string& image) {
  const CommandResult result =
      ckpt_.Run({"restore", "--cgroup", group_->path(), image});
  ASSERT_EQ(result.exit_status, 0) << result.err;
}

}  // namespace ckpt
