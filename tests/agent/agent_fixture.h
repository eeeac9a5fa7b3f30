// A ckptd of a test's own, a job in a group, and a ckpt that asks the agent.
//
//   class MyTest : public AgentTest {};
//   TEST_F(MyTest, ...) {
//     ASSERT_NO_FATAL_FAILURE(StartAgent());
//     ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
//     EXPECT_EQ(Ask({"freeze", "--cgroup", group_->path()}).exit_status, 0);
//   }
#ifndef CKPT_TESTS_AGENT_AGENT_FIXTURE_H_
#define CKPT_TESTS_AGENT_AGENT_FIXTURE_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {

class AgentTest : public testing::Test {
 protected:
  // Returns when it takes requests.  CKPT_FAULT=`fault` is for it alone;
  // `policy`, if not empty, is its policy file; `flags` are more of its flags.
  // All may connect.
  void StartAgent(const std::string& fault = "", const std::string& policy = "",
                  const std::vector<std::string>& flags = {});

  // Puts another policy file in place of the agent's, which it does not read by
  // itself.
  void WritePolicy(const std::string& text, mode_t mode = 0600);
  // Until the agent has written `text` so often.
  void AwaitInLog(const std::string& text, int times = 1);

  void StartJob(CgroupVersion version, const std::string& workload,
                std::vector<std::string> args = {});

  // The job has gone on since this was called.
  void ExpectJobRuns();

  std::vector<std::string> Words(std::vector<std::string> words) const;
  std::vector<std::string> WordsAsNobody(std::vector<std::string> words) const;
  // ckpt VERB ... --node, as this user.
  CommandResult Ask(std::vector<std::string> words) const;
  // The same as nobody (uid 65534).
  CommandResult AskAsNobody(std::vector<std::string> words) const;

  // ckpt VERB ... with another store than the agent's.
  static CommandResult CkptWith(const std::string& store,
                                std::vector<std::string> words);

  // Waits until the operation is in `phase`; false when it ends before.
  bool AwaitPhase(const std::string& operation, const std::string& phase) const;
  // Asks until the group is no longer in use.
  CommandResult AskUntilFree(const std::vector<std::string>& words) const;

  bool ImageIsWhole(const std::string& image) const;
  std::string node() const { return "unix:" + socket_; }
  std::string AgentLog() { return agent_->ReadErrors(); }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  const std::string socket_ = ckpt_.dir().File("ckptd.sock");
  std::unique_ptr<RunningCkpt> agent_;
  std::unique_ptr<TestCgroup> group_;
  pid_t root_ = 0;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_AGENT_AGENT_FIXTURE_H_
