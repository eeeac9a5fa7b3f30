// A job of `ckpt run` moves from node to node with its store: the same line
// goes on where the job was lost.
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/node/node.h"
#include "tests/node/node_network.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

// The whole of what a job needs on the next node.
constexpr char kStore[] = "/run/store/jobs";
constexpr char kStop[] = "/run/stop";

class RunMoveTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    auto network = NodeNetwork::Create(3);
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  const Node& node(int number) const { return network_->node(number); }

  // A line for sh: `ckpt run` of a job that counts until the file kStop is
  // there.
  std::string Line() const {
    return absl::StrCat(
        RunfilesPath("cli/ckpt"), " run --name count --store ", kStore,
        " --cgroup ", group_->path(),
        " --every 50ms --before-end -- sh -c 'i=0; while ! test -e ", kStop,
        "; do i=$((i+1)); echo $i; sleep 0.002; done; echo restored $(cat "
        "$CKPT_RESTARTED_FILE)'");
  }

  // The line in a node, in the background, until it has printed more and made
  // `image`; then `signal`, and its exit status.
  absl::StatusOr<CommandResult> RunUntilImage(int number, int image,
                                              const std::string& signal) {
    return node(number).Run(
        {"sh", "-c",
         absl::StrCat(Line(), " > /run/shown & until test -e ", kStore,
                      "/count.", image,
                      " && test -s /run/shown; do sleep "
                      "0.01; done; kill -",
                      signal, " $!; wait $!")});
  }

  std::string Output(int number) const {
    return ReadFile(node(number).OutsidePath(
                        absl::StrCat(kStore, "/.jobs/count/out")))
        .value_or("");
  }

  std::unique_ptr<NodeNetwork> network_;
  std::unique_ptr<TestCgroup> group_;
};

INSTANTIATE_TEST_SUITE_P(All, RunMoveTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(RunMoveTest, JobGoesOnAtTheNextNodeTwiceAndMissesNothing) {
  // Its node told it to end.
  auto run = RunUntilImage(1, 1, "TERM");
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_EQ(run->exit_status, 85) << run->err;
  ASSERT_EQ(node(1).CopyTo(kStore, node(2)), absl::OkStatus());

  // Its node was lost.
  run = RunUntilImage(2, 4, "KILL");
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_EQ(run->exit_status, 128 + SIGKILL) << run->err;
  EXPECT_TRUE(absl::StrContains(run->err, "restored job count")) << run->err;
  ASSERT_EQ(node(2).CopyTo(kStore, node(3)), absl::OkStatus());

  ASSERT_TRUE(node(3).RunOrError({"touch", kStop}).ok());
  run = node(3).Run({"sh", "-c", Line()});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->exit_status, 0) << run->err;
  EXPECT_TRUE(absl::StrContains(run->err, "restored job count")) << run->err;
  const std::string text = Output(3);
  std::string expected;
  for (int i = 1; expected.size() + 11 < text.size(); ++i) {
    absl::StrAppend(&expected, i, "\n");
  }
  EXPECT_EQ(text, expected + "restored 2\n");
}

}  // namespace
}  // namespace ckpt
