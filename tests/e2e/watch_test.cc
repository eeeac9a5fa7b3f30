// `ckpt watch`: what it prints, when it does, and how it ends.

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {
namespace {

constexpr int kInvalidArgument = 3;
constexpr int kDeadlineExceeded = 4;
constexpr int kNotFound = 5;

class WatchTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    auto group = TestCgroup::Create(GetParam());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  std::vector<std::string> WatchWords(std::vector<std::string> more) {
    std::vector<std::string> words = {"watch", "--cgroup", group_->path()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // One object a line.
  static std::vector<v1::WatchEvent> Parse(const std::string& output) {
    std::vector<v1::WatchEvent> events;
    for (const absl::string_view line :
         absl::StrSplit(output, '\n', absl::SkipEmpty())) {
      v1::WatchEvent event;
      EXPECT_TRUE(
          google::protobuf::util::JsonStringToMessage(std::string(line), &event)
              .ok())
          << line;
      events.push_back(event);
    }
    return events;
  }

  CkptRunner ckpt_;
  std::unique_ptr<TestCgroup> group_;
};

TEST_P(WatchTest, PrintsEachChangeAtOnceAndEndsWhenTheGoalIsReached) {
  RunningCkpt watch(
      ckpt_.CommandLine(WatchWords({"--until", "FROZEN", "--json"})), "");
  ASSERT_TRUE(watch.WaitForLines(1, Soon())) << watch.ReadErrors();
  ASSERT_EQ(group_->RequestFreeze(), absl::OkStatus());
  EXPECT_EQ(watch.Wait(), 0) << watch.ReadErrors();
  const std::vector<v1::WatchEvent> events = Parse(watch.ReadOutput());
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events[0].from(), v1::FREEZER_STATE_UNSPECIFIED);
  EXPECT_EQ(events[0].status().state(), v1::FREEZER_STATE_THAWED);
  EXPECT_EQ(events[1].from(), v1::FREEZER_STATE_THAWED);
  EXPECT_EQ(events[1].writer_pid(), ::getpid());
  EXPECT_EQ(events.back().status().state(), v1::FREEZER_STATE_FROZEN);
  EXPECT_EQ(events.back().cgroup(), group_->path());
}

TEST_P(WatchTest, EndsWithSuccessOnInterrupt) {
  RunningCkpt watch(ckpt_.CommandLine(WatchWords({})), "");
  ASSERT_TRUE(watch.WaitForLines(1, Soon())) << watch.ReadErrors();
  watch.Signal(SIGINT);
  EXPECT_EQ(watch.Wait(), 0);
  EXPECT_TRUE(absl::StrContains(watch.ReadOutput(),
                                absl::StrCat(group_->path(), ": THAWED\n")))
      << watch.ReadOutput();
}

TEST_P(WatchTest, TellsOfARemovalAndEnds) {
  const std::string path = group_->path();
  RunningCkpt watch(ckpt_.CommandLine(WatchWords({})), "");
  ASSERT_TRUE(watch.WaitForLines(1, Soon())) << watch.ReadErrors();
  group_.reset();
  EXPECT_EQ(watch.Wait(), 0);
  EXPECT_TRUE(
      absl::EndsWith(watch.ReadOutput(), absl::StrCat(path, ": removed\n")))
      << watch.ReadOutput();
}

TEST_P(WatchTest, TimeThatPassesIsAnErrorOnlyWhenThereWasAGoal) {
  EXPECT_EQ(ckpt_.Run(WatchWords({"--for", "1ms"})).exit_status, 0);
  const CommandResult missed =
      ckpt_.Run(WatchWords({"--for", "1ms", "--until", "frozen"}));
  EXPECT_EQ(missed.exit_status, kDeadlineExceeded) << missed.err;
  EXPECT_EQ(
      ckpt_.Run(WatchWords({"--for", "1ms", "--until", "thawed"})).exit_status,
      0);
}

TEST_P(WatchTest, SeveralGroupsReachTheGoalTogether) {
  auto second = TestCgroup::Create(GetParam());
  ASSERT_TRUE(second.ok());
  RunningCkpt watch(ckpt_.CommandLine(WatchWords(
                        {"--cgroup", (*second)->path(), "--until", "FROZEN"})),
                    "");
  ASSERT_TRUE(watch.WaitForLines(2, Soon())) << watch.ReadErrors();
  ASSERT_EQ(group_->RequestFreeze(), absl::OkStatus());
  ASSERT_TRUE(watch.WaitForLines(3, Soon()));
  ASSERT_EQ((*second)->RequestFreeze(), absl::OkStatus());
  EXPECT_EQ(watch.Wait(), 0) << watch.ReadErrors();
}

TEST_P(WatchTest, WrongWordsAreRefused) {
  EXPECT_EQ(ckpt_.Run({"watch"}).exit_status, kInvalidArgument);
  EXPECT_EQ(ckpt_.Run(WatchWords({"--until", "COLD"})).exit_status,
            kInvalidArgument);
  EXPECT_EQ(
      ckpt_.Run({"watch", "--cgroup", group_->path() + "-not"}).exit_status,
      kNotFound);
}

INSTANTIATE_TEST_SUITE_P(Freezers, WatchTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt
