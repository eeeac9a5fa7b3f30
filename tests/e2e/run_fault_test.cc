// `ckpt run` is killed at every one of its fault points, and at those of the
// checkpoints and restores that it makes, ten times in a row: the same line
// goes on each time, nothing is left of the run before, and in the end the
// output is that of a run that nobody disturbed.

#include <signal.h>
#include <unistd.h>

#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/run_fixture.h"
#include "tests/e2e/running_ckpt.h"

namespace ckpt {
namespace {

constexpr int kTimes = 10;

// What the run has to do to come to the point.
enum class Way { kStarts, kCheckpoints, kGoesOn, kEnds };

struct Point {
  const char* name;
  Way way;
};

constexpr Point kPoints[] = {
    {"run.guarded", Way::kGoesOn},
    {"run.before_start", Way::kStarts},
    {"run.started", Way::kStarts},
    {"run.recorded", Way::kStarts},
    {"run.before_restore", Way::kGoesOn},
    {"restore.before_criu", Way::kGoesOn},
    {"restore.built", Way::kGoesOn},
    {"restore.placed", Way::kGoesOn},
    {"restore.before_release", Way::kGoesOn},
    {"run.started", Way::kGoesOn},
    {"run.recorded", Way::kGoesOn},
    {"dump.before_freeze", Way::kCheckpoints},
    {"dump.frozen", Way::kCheckpoints},
    {"dump.verified", Way::kCheckpoints},
    {"dump.post_dump", Way::kCheckpoints},
    {"store.before_manifest", Way::kCheckpoints},
    {"store.before_rename", Way::kCheckpoints},
    {"store.after_rename", Way::kCheckpoints},
    {"dump.committed", Way::kCheckpoints},
    {"run.checkpointed", Way::kCheckpoints},
    {"run.before_remove", Way::kCheckpoints},
    {"run.ended", Way::kEnds},
    {"run.finished", Way::kEnds},
};

class RunFaultTest
    : public RunFixtureBase,
      public testing::WithParamInterface<std::tuple<CgroupVersion, Point>> {
 protected:
  CgroupVersion version() const override { return std::get<0>(GetParam()); }

  // An image of a job that has ended in it.
  void MakeImage() {
    const auto run = Start({"--before-end"}, counting_);
    WaitForOutput();
    run->Signal(SIGTERM);
    ASSERT_EQ(run->Wait(), 85);
  }

  std::vector<std::string> OptionsFor(Way way) const {
    if (way == Way::kStarts) return {"--fresh"};
    if (way == Way::kCheckpoints) return {"--every", "5ms", "--keep", "1"};
    return {};
  }
};

INSTANTIATE_TEST_SUITE_P(
    All, RunFaultTest,
    testing::Combine(testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                     testing::ValuesIn(kPoints)),
    [](const auto& info) {
      const Point& point = std::get<1>(info.param);
      return absl::StrCat(CgroupVersionName(std::get<0>(info.param)), "_",
                          absl::StrReplaceAll(point.name, {{".", "_"}}), "_",
                          point.way == Way::kStarts ? "fresh" : "again");
    });

TEST_P(RunFaultTest, SameLineGoesOnAfterTenKillsInARow) {
  const Point& point = std::get<1>(GetParam());
  if (point.way == Way::kGoesOn) {
    ASSERT_NO_FATAL_FAILURE(MakeImage());
  }
  if (point.way == Way::kEnds) LetItEnd();
  for (int i = 0; i < kTimes; ++i) {
    const auto run = Start(OptionsFor(point.way), counting_,
                           absl::StrCat(point.name, "=kill"));
    ASSERT_EQ(run->Wait(), 128 + SIGKILL) << run->ReadErrors();
    // What the guardian has not ended yet, the next run waits for.
    EXPECT_FALSE(absl::StrContains(run->ReadErrors(), "had left"))
        << run->ReadErrors();
  }
  LetItEnd();

  const CommandResult last = RunScript({}, counting_);

  EXPECT_EQ(last.exit_status, 0) << last.err;
  if (point.way == Way::kGoesOn) {
    EXPECT_TRUE(absl::StrContains(last.err, "restored job")) << last.err;
  }
  ExpectCountsWithoutGap();
  ExpectNothingLeft();
}

class LeftByCriuTest : public RunFixture {};
CKPT_INSTANTIATE_RUN_TESTS(LeftByCriuTest);

// What a CRIU leaves that was killed, with the whole job, between two steps of
// its own (criu/left_mount.h).
TEST_P(LeftByCriuTest, DirectoryInTheWayOfADumpIsRemoved) {
  const std::string place = ckpt_.dir().MakeDirectory("work");
  const std::string left = place + "/proc.crtools";
  const auto run =
      Start({"--every", "50ms"},
            absl::StrCat("cd ", place, "; mkdir ", left,
                         "; touch -d '1 hour ago' ", left, "; ", counting_));
  WaitForImage(2);
  LetItEnd();

  EXPECT_EQ(run->Wait(), 0) << run->ReadErrors();
  EXPECT_FALSE(absl::StrContains(run->ReadErrors(), "Can't create"))
      << run->ReadErrors();
  EXPECT_NE(::access(left.c_str(), F_OK), 0);
  ExpectCountsWithoutGap();
}

}  // namespace
}  // namespace ckpt
