// The controllers of examples/ move a job between two nodes, over a network,
// and lose their connection in the middle.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/node/migration_lab.h"
#include "tests/node/node.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

// Of the language.
class ControllerTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_EQ(WhyNoCgroup(CgroupVersion::kV2), "");
    ASSERT_EQ(lab_.SetUp(), absl::OkStatus());
    certificates_ = lab_.MakeController();
  }

  // Asks the agent of node 1 from node 2.
  std::vector<std::string> Words(const std::string& cgroup) const {
    std::vector<std::string> argv = {RunfilesPath("examples/controller")};
    if (GetParam() == "Python") {
      argv = {"/usr/bin/python3", RunfilesPath("examples/controller.py")};
    }
    argv.insert(argv.end(), {lab_.Address(1), cgroup, lab_.Address(2),
                             lab_.GroupName(2), "move", certificates_});
    return argv;
  }
  std::vector<std::string> Environment() const {
    const std::string proto = RunfilesPath("proto/agent.proto");
    return {
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "CKPT_SOURCES=" + proto.substr(0, proto.rfind("/proto/agent.proto"))};
  }

  CommandResult Control(const std::string& cgroup) const {
    CommandOptions options;
    options.env = Environment();
    options.timeout = absl::Minutes(3);
    const auto result = lab_.node(2).Run(Words(cgroup), options);
    if (result.ok()) return *result;
    ADD_FAILURE() << result.status();
    return {.exit_status = -1, .out = "", .err = ""};
  }

  std::string Said() const {
    return ReadFile(lab_.File("controller")).value_or("");
  }
  void AwaitSaid(const std::string& text) const {
    const absl::Time deadline = Clock::Real().Now() + absl::Seconds(90);
    while (!absl::StrContains(Said(), text)) {
      ASSERT_LT(Clock::Real().Now(), deadline) << text << ": " << Said();
      Clock::Real().Sleep(absl::Milliseconds(20));
    }
  }

  MigrationLab lab_{CgroupVersion::kV2};
  std::string certificates_;
};

TEST_P(ControllerTest, JobMovesAndEachStepIsTold) {
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());

  const CommandResult moved = Control(lab_.GroupName(1));
  ASSERT_EQ(moved.exit_status, 0) << moved.err << lab_.Log(1) << lab_.Log(2);
  for (const char* const words :
       {"OPERATION_STATE_SUCCEEDED MIGRATION_STATE_DONE 100% of ",
        "runs as pid ", "downtime "}) {
    EXPECT_TRUE(absl::StrContains(moved.out, words)) << words << moved.out;
  }
  EXPECT_FALSE(absl::StrContains(moved.out, "DONE 100% of 0 ")) << moved.out;
  EXPECT_EQ(lab_.AwaitOneCopy(), 2);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());

  // Started anew with the same id, it finds it done.
  const CommandResult again = Control(lab_.GroupName(1));
  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(absl::StrContains(again.out, "runs as pid ")) << again.out;
  EXPECT_EQ(lab_.AwaitOneCopy(), 2);
}

TEST_P(ControllerTest, BrokenConnectionIsMadeAnewAndTheOperationFound) {
  ASSERT_EQ(lab_.StartAgent(1, "migrate.dumped=stop"), absl::OkStatus());
  ASSERT_EQ(lab_.StartAgent(2), absl::OkStatus());
  ASSERT_EQ(lab_.StartJob("pipes"), absl::OkStatus());
  Job::Options options;
  options.argv = Words(lab_.GroupName(1));
  options.env = Environment();
  options.output_path = lab_.File("controller");
  ASSERT_TRUE(lab_.node(2).Start(options).ok());
  ASSERT_EQ(lab_.AwaitAgentStopped(1), absl::OkStatus());

  // Every connection from node 2 to an agent: the controller's alone.
  ASSERT_EQ(lab_.node(2).RunOrError({"ss", "--kill", "dport", "=", ":7070"}),
            absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(AwaitSaid("trying again"));
  ASSERT_EQ(lab_.ContinueAgent(1), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(AwaitSaid("runs as pid "));
  EXPECT_EQ(lab_.AwaitOneCopy(), 2);
  EXPECT_EQ(lab_.AwaitBeats(), absl::OkStatus());
}

TEST_P(ControllerTest, EndsWithTheCodeOfTheError) {
  ASSERT_EQ(lab_.StartAgent(1), absl::OkStatus());
  const CommandResult refused = Control("no-such-group");
  EXPECT_EQ(refused.exit_status, static_cast<int>(absl::StatusCode::kNotFound))
      << refused.err;
  EXPECT_TRUE(absl::StrContains(refused.err, "no-such-group")) << refused.err;
}

INSTANTIATE_TEST_SUITE_P(All, ControllerTest, testing::Values("Cpp", "Python"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ckpt
