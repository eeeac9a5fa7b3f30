// Every workload, dumped and restored twice in a row, by v1 and v2, from a
// thawed and a frozen origin, killed and left running.

#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

enum class Origin { kThawed, kFrozen };
enum class Fate { kKilled, kLeftRunning };

// Rounds that show that a workload runs and finds its state whole.
constexpr uint64_t kBeats = 10;

using Case = std::tuple<WorkloadSpec, CgroupVersion, Origin, Fate>;

class MatrixTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    BecomeReaper();
    const CgroupVersion version = std::get<1>(GetParam());
    ASSERT_EQ(WhyNoCgroup(version), "");
    auto group = TestCgroup::Create(version);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  const WorkloadSpec& spec() const { return std::get<0>(GetParam()); }
  bool starts_frozen() const {
    return std::get<2>(GetParam()) == Origin::kFrozen;
  }
  bool is_killed() const { return std::get<3>(GetParam()) == Fate::kKilled; }

  void Ckpt(std::vector<std::string> words) {
    const std::string verb = words.front();
    const CommandResult result = ckpt_.Run(std::move(words));
    ASSERT_EQ(result.exit_status, 0)
        << "ckpt " << verb << ": " << result.err << result.out;
  }

  void ExpectState(CgroupState state) {
    const auto now = group_->State();
    ASSERT_TRUE(now.ok()) << now.status();
    EXPECT_STREQ(CgroupStateName(*now), CgroupStateName(state));
  }

  void ExpectRuns() {
    ASSERT_EQ(WaitForBeats(status_path_, kBeats, Soon()), absl::OkStatus());
  }

  void Start() {
    Job::Options options;
    options.argv = spec().CommandLine(status_path_);
    options.cgroups = {group_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    job_.push_back(*job);
    ExpectRuns();
  }

  void WaitUntilTreeIsGone(const std::vector<pid_t>& tree) {
    ASSERT_EQ(WaitUntilGone(tree, Soon()), absl::OkStatus());
    EXPECT_TRUE(group_->Processes().empty());
    // Children that came and went after the tree was listed are ours as well.
    ReapAll();
  }

  // The job is running at the beginning and at the end.
  void DumpAndRestore(const std::string& image) {
    if (starts_frozen()) Ckpt({"freeze", "--cgroup", group_->path()});
    auto tree = job_.front().Tree();
    ASSERT_TRUE(tree.ok());
    std::vector<std::string> dump = {"dump", "--cgroup", group_->path(),
                                     "--image", image};
    for (std::string& flag : DumpFlags(spec().criu)) dump.push_back(flag);
    if (!is_killed()) dump.push_back("--leave-running");
    ASSERT_NO_FATAL_FAILURE(Ckpt(dump));
    ASSERT_NO_FATAL_FAILURE(Ckpt({"verify", image}));
    if (!is_killed()) {
      ExpectState(starts_frozen() ? CgroupState::kFrozen
                                  : CgroupState::kThawed);
      if (starts_frozen()) Ckpt({"thaw", "--cgroup", group_->path()});
      ASSERT_NO_FATAL_FAILURE(ExpectRuns());
      ASSERT_NO_FATAL_FAILURE(Ckpt({"kill", "--cgroup", group_->path()}));
    }
    ASSERT_NO_FATAL_FAILURE(WaitUntilTreeIsGone(*tree));
    std::vector<std::string> restore = {"restore", image};
    if (starts_frozen()) restore.push_back("--frozen");
    ASSERT_NO_FATAL_FAILURE(Ckpt(restore));
    if (starts_frozen()) {
      ExpectState(CgroupState::kFrozen);
      Ckpt({"thaw", "--cgroup", group_->path()});
    }
    ExpectState(CgroupState::kThawed);
    tree = job_.front().Tree();
    ASSERT_TRUE(tree.ok());
    EXPECT_GE(tree->size(), static_cast<size_t>(spec().min_processes));
    ASSERT_NO_FATAL_FAILURE(ExpectRuns());
  }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> group_;
  std::vector<Job> job_;  // one
};

TEST_P(MatrixTest, SurvivesTwoDumpsAndRestores) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(DumpAndRestore("first"));
  ASSERT_NO_FATAL_FAILURE(DumpAndRestore("second"));
  const auto status = ReadStatus(status_path_);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->errors, 0u) << status->error_text;
  const auto tree = job_.front().Tree();
  ASSERT_NO_FATAL_FAILURE(Ckpt({"kill", "--cgroup", group_->path()}));
  if (tree.ok()) WaitUntilTreeIsGone(*tree);
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return absl::StrCat(
      std::get<0>(info.param).name, "_",
      CgroupVersionName(std::get<1>(info.param)), "_",
      std::get<2>(info.param) == Origin::kFrozen ? "frozen" : "thawed", "_",
      std::get<3>(info.param) == Fate::kKilled ? "killed" : "leftrunning");
}

INSTANTIATE_TEST_SUITE_P(
    All, MatrixTest,
    testing::Combine(testing::ValuesIn(AllWorkloads().begin(),
                                       AllWorkloads().end()),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::Values(Origin::kThawed, Origin::kFrozen),
                     testing::Values(Fate::kKilled, Fate::kLeftRunning)),
    CaseName);

}  // namespace
}  // namespace ckpt
