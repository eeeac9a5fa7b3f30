// A job that lives in groups below a frame: `ckpt dump --cgroup FRAME
// --subtree` freezes the frame, which the job cannot thaw from inside, and a
// restore puts each process back into its own group.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr int kFailedPrecondition = 9;
constexpr int kAborted = 10;
constexpr int kInternal = 13;

enum class Origin { kThawed, kFrozen };
enum class Fate { kKilled, kLeftRunning };

std::vector<pid_t> PidsIn(const std::string& group) {
  std::vector<pid_t> pids;
  std::ifstream file(group + "/cgroup.procs");
  for (pid_t pid; file >> pid;) pids.push_back(pid);
  return pids;
}

bool IsIn(pid_t pid, const std::string& group) {
  const std::vector<pid_t> pids = PidsIn(group);
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

class FrameTest : public testing::Test {
 protected:
  // A tree of processes: the root in FRAME/a, one child in FRAME/b/c, one in
  // the frame itself, the others with the root.
  void Start(CgroupVersion version) {
    BecomeReaper();
    auto frame = TestCgroup::Create(version);
    ASSERT_TRUE(frame.ok()) << frame.status();
    frame_ = *std::move(frame);
    ASSERT_NO_FATAL_FAILURE(MakeGroups());
    Job::Options options;
    options.argv = WorkloadNamed("forker").CommandLine(status_path_);
    options.cgroups = {a_.get()};
    const auto job = Job::Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    job_.push_back(*job);
    root_ = job->pid();
    ASSERT_NO_FATAL_FAILURE(ExpectRuns());
    const auto tree = job->Tree();
    ASSERT_TRUE(tree.ok());
    ASSERT_GE(tree->size(), 3u);  // long-lived children come first
    deep_ = (*tree)[1];
    shallow_ = (*tree)[2];
    ASSERT_EQ(c_->Add(deep_), absl::OkStatus());
    ASSERT_EQ(frame_->Add(shallow_), absl::OkStatus());
  }

  void MakeGroups() {
    for (auto [name, parent, made] :
         {std::tuple("a", &frame_, &a_), std::tuple("b", &frame_, &b_),
          std::tuple("c", &b_, &c_)}) {
      auto group = (*parent)->CreateChild(name);
      ASSERT_TRUE(group.ok()) << group.status();
      *made = *std::move(group);
    }
  }

  // What ckpt makes anew is cleaned up with the frame.
  void RemoveGroups() {
    c_.reset();
    b_.reset();
    a_.reset();
  }

  CommandResult Ckpt(std::vector<std::string> words) {
    return ckpt_.Run(std::move(words));
  }
  void ExpectWorks(std::vector<std::string> words) {
    const std::string verb = words.front();
    const CommandResult result = ckpt_.Run(std::move(words));
    ASSERT_EQ(result.exit_status, 0) << verb << ": " << result.err;
  }

  std::vector<std::string> DumpWords(const std::string& image, Fate fate) {
    std::vector<std::string> words = {"dump",      "--cgroup", frame_->path(),
                                      "--subtree", "--image",  image};
    if (fate == Fate::kLeftRunning) words.push_back("--leave-running");
    return words;
  }

  void ExpectRuns() {
    ASSERT_EQ(WaitForBeats(status_path_, 3, Soon()), absl::OkStatus());
  }

  void ExpectPlacedBelow(const std::string& frame) {
    EXPECT_TRUE(IsIn(root_, frame + "/a"));
    EXPECT_TRUE(IsIn(deep_, frame + "/b/c"));
    EXPECT_TRUE(IsIn(shallow_, frame));
  }

  void EndJob(bool dumped) {
    const auto tree = job_.front().Tree();
    if (!dumped) {
      ASSERT_NO_FATAL_FAILURE(
          ExpectWorks({"kill", "--cgroup", frame_->path()}));
    }
    if (tree.ok()) {
      ASSERT_EQ(WaitUntilGone(*tree, Soon()), absl::OkStatus());
    }
    ASSERT_EQ(WaitUntilGone({root_, deep_, shallow_}, Soon()),
              absl::OkStatus());
    ReapAll();
  }

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  std::unique_ptr<TestCgroup> frame_, a_, b_, c_;
  std::vector<Job> job_;  // one
  pid_t root_ = 0, deep_ = 0, shallow_ = 0;
};

using Case = std::tuple<CgroupVersion, Origin, Fate>;

class FrameMatrixTest : public FrameTest,
                        public testing::WithParamInterface<Case> {};

TEST_P(FrameMatrixTest, TwoDumpsAndRestoresKeepTheGroups) {
  const auto& [version, origin, fate] = GetParam();
  const bool frozen = origin == Origin::kFrozen;
  ASSERT_NO_FATAL_FAILURE(Start(version));
  for (const std::string image : {"first", "second"}) {
    if (frozen) ExpectWorks({"freeze", "--cgroup", frame_->path()});
    const auto tree = job_.front().Tree();
    ASSERT_TRUE(tree.ok());
    ASSERT_NO_FATAL_FAILURE(ExpectWorks(DumpWords(image, fate)));
    if (fate == Fate::kLeftRunning) {
      EXPECT_EQ(frame_->State().value_or(CgroupState::kFreezing),
                frozen ? CgroupState::kFrozen : CgroupState::kThawed);
      if (frozen) ExpectWorks({"thaw", "--cgroup", frame_->path()});
      ASSERT_NO_FATAL_FAILURE(ExpectRuns());
      ExpectPlacedBelow(frame_->path());
    }
    ASSERT_NO_FATAL_FAILURE(EndJob(fate == Fate::kKilled));
    ASSERT_EQ(WaitUntilGone(*tree, Soon()), absl::OkStatus());
    RemoveGroups();
    std::vector<std::string> restore = {"restore", image};
    if (frozen) restore.push_back("--frozen");
    ASSERT_NO_FATAL_FAILURE(ExpectWorks(restore));
    ExpectPlacedBelow(frame_->path());
    if (frozen) {
      EXPECT_EQ(frame_->State().value_or(CgroupState::kThawed),
                CgroupState::kFrozen);
      ExpectWorks({"thaw", "--cgroup", frame_->path()});
    }
    ASSERT_NO_FATAL_FAILURE(ExpectRuns());
  }
  const auto status = ReadStatus(status_path_);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->errors, 0u) << status->error_text;
  ASSERT_NO_FATAL_FAILURE(EndJob(/*dumped=*/false));
}

INSTANTIATE_TEST_SUITE_P(
    All, FrameMatrixTest,
    testing::Combine(testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::Values(Origin::kThawed, Origin::kFrozen),
                     testing::Values(Fate::kKilled, Fate::kLeftRunning)),
    [](const testing::TestParamInfo<Case>& info) {
      return absl::StrCat(
          CgroupVersionName(std::get<0>(info.param)), "_",
          std::get<1>(info.param) == Origin::kFrozen ? "frozen" : "thawed", "_",
          std::get<2>(info.param) == Fate::kKilled ? "killed" : "leftrunning");
    });

class FrameVersionTest : public FrameTest,
                         public testing::WithParamInterface<CgroupVersion> {
 protected:
  void SetUp() override { ASSERT_NO_FATAL_FAILURE(Start(GetParam())); }

  // The image "image" of the job, which has ended, and no group below.
  void DumpAway() {
    ASSERT_NO_FATAL_FAILURE(ExpectWorks(DumpWords("image", Fate::kKilled)));
    ASSERT_NO_FATAL_FAILURE(EndJob(/*dumped=*/true));
    RemoveGroups();
  }
};

// Nor do others thaw it by the groups that the job has.
TEST_P(FrameVersionTest, JobCannotThawItselfFromInside) {
  ASSERT_NO_FATAL_FAILURE(ExpectWorks({"freeze", "--cgroup", frame_->path()}));
  ASSERT_EQ(a_->Thaw(), absl::OkStatus());
  ASSERT_EQ(c_->Thaw(), absl::OkStatus());
  EXPECT_EQ(a_->State().value_or(CgroupState::kThawed), CgroupState::kFrozen);
  EXPECT_EQ(c_->State().value_or(CgroupState::kThawed), CgroupState::kFrozen);
  EXPECT_EQ(Ckpt({"verify-freeze", "--cgroup", frame_->path(), "--subtree",
                  "--tree", absl::StrCat(root_)})
                .exit_status,
            0);
}

TEST_P(FrameVersionTest, ThawBelowTheFrameDoesNotDisturbADump) {
  for (const std::string point : {"dump.verified", "dump.post_dump"}) {
    RunningCkpt dump(ckpt_.CommandLine(DumpWords(point, Fate::kLeftRunning)),
                     point + "=stop");
    ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
    ASSERT_EQ(a_->Thaw(), absl::OkStatus());
    if (point == "dump.verified") {
      EXPECT_EQ(a_->State().value_or(CgroupState::kThawed),
                CgroupState::kFrozen);
    }
    dump.Continue();
    EXPECT_EQ(dump.Wait(), 0) << dump.ReadErrors();
    ASSERT_NO_FATAL_FAILURE(ExpectRuns());
  }
}

TEST_P(FrameVersionTest, FreezeBelowTheFrameFailsADumpAndIsTakenBack) {
  RunningCkpt dump(ckpt_.CommandLine(DumpWords("image", Fate::kKilled)),
                   "dump.verified=stop");
  ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
  ASSERT_EQ(a_->RequestFreeze(), absl::OkStatus());
  dump.Continue();
  EXPECT_EQ(dump.Wait(), kAborted) << dump.ReadErrors();
  EXPECT_FALSE(std::filesystem::exists(ckpt_.store() + "/image"));
  EXPECT_EQ(a_->State().value_or(CgroupState::kFrozen), CgroupState::kThawed);
  ExpectRuns();
}

TEST_P(FrameVersionTest, MoveBetweenGroupsBelowFailsADump) {
  RunningCkpt dump(ckpt_.CommandLine(DumpWords("image", Fate::kKilled)),
                   "dump.post_dump=stop");
  ASSERT_TRUE(dump.WaitUntilStopped(Soon()));
  ASSERT_EQ(a_->Add(deep_), absl::OkStatus());
  dump.Continue();
  EXPECT_EQ(dump.Wait(), kAborted) << dump.ReadErrors();
  ExpectRuns();
}

TEST_P(FrameVersionTest, WithoutTheOptionTasksBelowAreStrays) {
  const CommandResult result =
      Ckpt({"dump", "--cgroup", frame_->path(), "--pid", absl::StrCat(root_),
            "--image", "image"});
  EXPECT_EQ(result.exit_status, kFailedPrecondition);
  ExpectRuns();
}

TEST_P(FrameVersionTest, RestoreIntoAnotherGroupMakesTheGroupsThere) {
  ASSERT_NO_FATAL_FAILURE(DumpAway());
  const std::string elsewhere = frame_->path() + "/elsewhere";
  ASSERT_NO_FATAL_FAILURE(
      ExpectWorks({"restore", "image", "--cgroup", elsewhere}));
  ExpectPlacedBelow(elsewhere);
  ExpectRuns();
}

TEST_P(FrameVersionTest, RestoreThatFailsLeavesNoGroup) {
  ASSERT_NO_FATAL_FAILURE(DumpAway());
  RunningCkpt restore(ckpt_.CommandLine({"restore", "image"}),
                      "restore.placed=error");
  EXPECT_EQ(restore.Wait(), kInternal) << restore.ReadErrors();
  EXPECT_FALSE(std::filesystem::exists(frame_->path() + "/a"));
  EXPECT_FALSE(std::filesystem::exists(frame_->path() + "/b"));
  EXPECT_TRUE(frame_->Processes().empty());
  ASSERT_EQ(WaitUntilGone({root_, deep_, shallow_}, Soon()), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(ExpectWorks({"restore", "image"}));
  ExpectPlacedBelow(frame_->path());
}

TEST_P(FrameVersionTest, RestoreThatIsKilledLeavesNoProcessBelow) {
  ASSERT_NO_FATAL_FAILURE(DumpAway());
  RunningCkpt restore(ckpt_.CommandLine({"restore", "image"}),
                      "restore.placed=kill");
  EXPECT_EQ(restore.Wait(), 128 + SIGKILL);
  ASSERT_EQ(WaitUntilGone({root_, deep_, shallow_}, Soon()), absl::OkStatus());
  EXPECT_TRUE(frame_->Processes().empty());
}

TEST_P(FrameVersionTest, GroupBelowThatIsFrozenIsRefusedByARestore) {
  ASSERT_NO_FATAL_FAILURE(DumpAway());
  ASSERT_NO_FATAL_FAILURE(MakeGroups());
  ASSERT_EQ(c_->RequestFreeze(), absl::OkStatus());
  const CommandResult result = Ckpt({"restore", "image"});
  EXPECT_EQ(result.exit_status, kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(result.err, c_->path())) << result.err;
  EXPECT_TRUE(frame_->Processes().empty());
}

TEST_P(FrameVersionTest, ShowTellsOfTheGroups) {
  ASSERT_NO_FATAL_FAILURE(ExpectWorks(DumpWords("image", Fate::kLeftRunning)));
  const CommandResult shown = Ckpt({"show", "image"});
  EXPECT_TRUE(
      absl::StrContains(shown.out, absl::StrCat("b/c: process ", deep_)))
      << shown.out;
}

INSTANTIATE_TEST_SUITE_P(Freezers, FrameVersionTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt
