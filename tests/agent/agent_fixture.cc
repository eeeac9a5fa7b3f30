#include "tests/agent/agent_fixture.h"

#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(5);
constexpr int kUnavailable = 14;

}  // namespace

void AgentTest::StartAgent(const std::string& fault, const std::string& policy,
                           const std::vector<std::string>& flags) {
  std::vector<std::string> argv = {RunfilesPath("agent/ckptd"),
                                   "--socket",
                                   socket_,
                                   "--store",
                                   ckpt_.store(),
                                   "--policy",
                                   ckpt_.dir().File("policy")};
  ASSERT_NO_FATAL_FAILURE(WritePolicy(
      policy.empty() ? "rule { local_user: '0' verb: ALL cgroup: '/' }"
                     : policy));
  argv.insert(argv.end(), flags.begin(), flags.end());
  agent_ = std::make_unique<RunningCkpt>(argv, fault);
  ASSERT_NO_FATAL_FAILURE(AwaitInLog("listens on"));
  // Whoever may not: the policy is to tell, not the file's mode.
  ASSERT_EQ(::chmod(socket_.c_str(), 0666), 0);
  ASSERT_EQ(::chmod(ckpt_.dir().path().c_str(), 0755), 0);
}

void AgentTest::WritePolicy(const std::string& text, mode_t mode) {
  const std::string file = ckpt_.dir().File("policy");
  const std::string next = file + ".new";
  std::ofstream(next) << text;
  ASSERT_EQ(::chmod(next.c_str(), mode), 0);
  ASSERT_EQ(std::rename(next.c_str(), file.c_str()), 0);
}

void AgentTest::AwaitInLog(const std::string& text, int times) {
  const absl::Time deadline = Soon();
  while (true) {
    const std::string log = AgentLog();
    const std::vector<std::string> around = absl::StrSplit(log, text);
    if (around.size() > static_cast<size_t>(times)) return;
    ASSERT_LT(Clock::Real().Now(), deadline) << log;
    Clock::Real().Sleep(kPoll);
  }
}

void AgentTest::StartJob(CgroupVersion version, const std::string& workload,
                         std::vector<std::string> args) {
  BecomeReaper();
  auto group = TestCgroup::Create(version);
  ASSERT_TRUE(group.ok()) << group.status();
  group_ = *std::move(group);
  WorkloadSpec spec = WorkloadNamed(workload);
  spec.args = std::move(args);
  Job::Options options;
  options.argv = spec.CommandLine(status_path_);
  options.cgroups = {group_.get()};
  const auto job = Job::Start(options);
  ASSERT_TRUE(job.ok()) << job.status();
  root_ = job->pid();
  ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
}

void AgentTest::ExpectJobRuns() {
  EXPECT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
}

std::vector<std::string> AgentTest::Words(
    std::vector<std::string> words) const {
  words.insert(words.begin(), CkptRunner::Binary());
  words.insert(words.end(), {"--node", node()});
  return words;
}

CommandResult AgentTest::Ask(std::vector<std::string> words) const {
  const auto result = RunCommand(Words(std::move(words)));
  if (result.ok()) return *result;
  ADD_FAILURE() << result.status();
  return {.exit_status = -1, .out = "", .err = ""};
}

CommandResult AgentTest::CkptWith(const std::string& store,
                                  std::vector<std::string> words) {
  words.insert(words.begin(), CkptRunner::Binary());
  words.insert(words.end(), {"--store", store});
  const auto result = RunCommand(words);
  if (result.ok()) return *result;
  ADD_FAILURE() << result.status();
  return {.exit_status = -1, .out = "", .err = ""};
}

std::vector<std::string> AgentTest::WordsAsNobody(
    std::vector<std::string> words) const {
  // The build's directories are not for everybody.
  const std::string copy = ckpt_.dir().File("ckpt");
  (void)RunCommand({"cp", "--dereference", CkptRunner::Binary(), copy});
  std::vector<std::string> argv = {"/usr/bin/env",   "setpriv", "--reuid",
                                   "65534",          "--regid", "65534",
                                   "--clear-groups", copy};
  const std::vector<std::string> asked = Words(std::move(words));
  argv.insert(argv.end(), asked.begin() + 1, asked.end());
  return argv;
}

CommandResult AgentTest::AskAsNobody(std::vector<std::string> words) const {
  const auto result = RunCommand(WordsAsNobody(std::move(words)));
  if (result.ok()) return *result;
  ADD_FAILURE() << result.status();
  return {.exit_status = -1, .out = "", .err = ""};
}

bool AgentTest::AwaitPhase(const std::string& operation,
                           const std::string& phase) const {
  const absl::Time deadline = Soon();
  while (Clock::Real().Now() < deadline) {
    const std::string list = Ask({"ops"}).out;
    const size_t line = list.find(operation);
    if (line == std::string::npos) continue;
    const std::string text = list.substr(line, list.find('\n', line) - line);
    if (absl::StrContains(text, phase)) return true;
    if (absl::StrContains(text, "FAILED") ||
        absl::StrContains(text, "SUCCEEDED")) {
      return false;
    }
  }
  return false;
}

CommandResult AgentTest::AskUntilFree(
    const std::vector<std::string>& words) const {
  CommandResult result;
  const absl::Time deadline = Soon();
  do {
    result = Ask(words);
  } while (result.exit_status == kUnavailable &&
           Clock::Real().Now() < deadline);
  return result;
}

bool AgentTest::ImageIsWhole(const std::string& image) const {
  return ckpt_.Run({"verify", image}).exit_status == 0;
}

}  // namespace ckpt
