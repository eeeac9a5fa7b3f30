// A job checkpoints itself on one node and is restarted on another, to and fro.

#include <fcntl.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/node/node.h"
#include "tests/node/node_network.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr int kMoves = 10;
constexpr char kStatus[] = "/run/status";
constexpr char kGo[] = "/run/go";

class SelfNodeTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    auto network = NodeNetwork::Create(2);
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    for (const int number : {1, 2}) {
      ASSERT_TRUE(node(number).RunOrError({"mkdir", store_}).ok());
    }
  }

  const Node& node(int number) const { return network_->node(number); }

  void Start() {
    Job::Options options;
    options.argv = {RunfilesPath("tests/self/self_job"),
                    "--times",
                    absl::StrCat(kMoves),
                    "--tree",
                    "--children",
                    "2",
                    "--threads",
                    "2",
                    "--wait-for",
                    kGo,
                    "--argument",
                    "--freezer",
                    "--argument",
                    CgroupVersionName(GetParam()),
                    kStatus,
                    store_,
                    CkptRunner::Binary()};
    options.cgroups = {group_.get()};
    const auto job = node(1).Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
  }

  void Go(int number, int call) {
    ASSERT_EQ(node(number).RunOrError({"touch", absl::StrCat(kGo, ".", call)}),
              absl::OkStatus());
  }

  // What the job has said on that node, once it has `line` in it, and a
  // checkpoint or restart has left nothing in it.
  void ExpectLine(int number, const std::string& line) {
    const std::string path = node(number).OutsidePath(kStatus);
    const absl::Time deadline = Soon();
    std::string text;
    do {
      text = ReadFile(path).value_or("");
      const size_t found = text.find(line);
      if (found != std::string::npos &&
          absl::StrContains(text.substr(found), "\ntrace same\nbeat\n")) {
        return;
      }
      Clock::Real().Sleep(absl::Milliseconds(2));
    } while (Clock::Real().Now() < deadline);
    FAIL() << "node " << number << " has no '" << line << "' in: " << text;
  }

  std::string Image(int call) const {
    return absl::StrCat(store_, "/self.", call);
  }

  void Restore(int number, int call) {
    const auto restored = node(number).Run(
        {CkptRunner::Binary(), "restore", "--store", store_, "--cgroup",
         group_->path(), absl::StrCat("self.", call)});
    ASSERT_TRUE(restored.ok()) << restored.status();
    ASSERT_EQ(restored->exit_status, 0) << restored->err;
  }

  const std::string store_ = absl::StrCat(kNodeStore, "/images");
  std::unique_ptr<NodeNetwork> network_;
  std::unique_ptr<TestCgroup> group_;
};

INSTANTIATE_TEST_SUITE_P(All, SelfNodeTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const auto& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

TEST_P(SelfNodeTest, EachCheckpointIsRestartedOnTheOtherNode) {
  ASSERT_NO_FATAL_FAILURE(Start());
  for (int call = 1; call <= kMoves; ++call) {
    const int from = call % 2 == 1 ? 1 : 2;
    const int to = 3 - from;
    ASSERT_NO_FATAL_FAILURE(Go(from, call));
    // The store of each node has every second image.
    ASSERT_NO_FATAL_FAILURE(
        ExpectLine(from, absl::StrCat("call ", call, " ", call, " 0 restarts ",
                                      call - 1, " image ", Image(call))));
    ASSERT_EQ(group_->KillAll(Soon()), absl::OkStatus());
    ASSERT_EQ(node(from).CopyTo(Image(call), node(to)), absl::OkStatus());

    ASSERT_NO_FATAL_FAILURE(Restore(to, call));

    ASSERT_NO_FATAL_FAILURE(
        ExpectLine(to, absl::StrCat("call ", call, " 0 0 restarts ", call,
                                    " image ", Image(call))));
  }
}

}  // namespace
}  // namespace ckpt
