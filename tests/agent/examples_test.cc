// The controllers of examples/ move a job.

#include <sys/wait.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/agent/agent_fixture.h"
#include "tests/support/job.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

// Of the language.
class ExamplesTest : public AgentTest,
                     public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartAgent());
    ASSERT_NO_FATAL_FAILURE(StartJob(CgroupVersion::kV2, "counter"));
  }

  // Both nodes are the one agent.
  CommandResult Control(const std::string& cgroup) const {
    std::vector<std::string> argv = {RunfilesPath("examples/controller")};
    CommandOptions options;
    options.timeout = absl::Minutes(2);
    if (GetParam() == "Python") {
      argv = {"/usr/bin/python3", RunfilesPath("examples/controller.py")};
      const std::string proto = RunfilesPath("proto/agent.proto");
      options.env = {"CKPT_SOURCES=" +
                     proto.substr(0, proto.rfind("/proto/agent.proto"))};
    }
    argv.insert(argv.end(), {node(), cgroup, node(), "moved"});
    const auto result = RunCommand(argv, options);
    if (result.ok()) return *result;
    ADD_FAILURE() << result.status();
    return {.exit_status = -1, .out = "", .err = ""};
  }
};

TEST_P(ExamplesTest, ControllerMovesAJobAndTellsOfEachStep) {
  // A zombie's number is not free for the restore.
  std::atomic<bool> ended = false;
  std::thread reaper([&] {
    while (!ended && ::waitpid(root_, nullptr, WNOHANG) != root_) {
      Clock::Real().Sleep(absl::Milliseconds(5));
    }
  });
  const CommandResult result = Control(group_->path());
  ended = true;
  reaper.join();

  ASSERT_EQ(result.exit_status, 0) << result.err << AgentLog();
  EXPECT_TRUE(absl::StrContains(result.out, "PHASE_COMMIT")) << result.out;
  EXPECT_TRUE(absl::StrContains(result.out, "PHASE_RELEASE")) << result.out;
  EXPECT_TRUE(ImageIsWhole("moved"));
  ExpectJobRuns();
}

TEST_P(ExamplesTest, ControllerEndsWithTheCodeOfTheError) {
  const CommandResult result = Control("no-such-group");

  EXPECT_EQ(result.exit_status, static_cast<int>(absl::StatusCode::kNotFound))
      << result.err;
  EXPECT_TRUE(absl::StrContains(result.err, "no-such-group")) << result.err;
  ExpectJobRuns();
}

INSTANTIATE_TEST_SUITE_P(All, ExamplesTest, testing::Values("Cpp", "Python"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ckpt
