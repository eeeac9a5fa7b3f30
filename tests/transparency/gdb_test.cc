// A debugger and its program: gdb sees SIGSTOP, and nothing of a freeze.

#include <signal.h>

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/proc.h"
#include "tests/testcases/workloads.h"
#include "tests/transparency/cycles.h"
#include "tests/transparency/gdb_session.h"

namespace ckpt {
namespace {

constexpr char kCount[] = "(int)debuggee_count";
constexpr int kCycles = 5;

std::string Debuggee() { return RunfilesPath("tests/transparency/debuggee"); }

// Stopped at its breakpoint for the first time.
void RunToBreakpoint(GdbSession& gdb) {
  ASSERT_EQ(gdb.Do("-break-insert debuggee_tick").substr(0, 4), "done");
  ASSERT_EQ(gdb.Do("-exec-run"), "running");
  ASSERT_EQ(gdb.NextStop(), "breakpoint-hit");
  ASSERT_GT(gdb.inferior(), 0);
}

// From there on it runs, without a stop.
void LetRun(GdbSession& gdb) {
  ASSERT_EQ(gdb.Do("-break-disable"), "done");
  ASSERT_EQ(gdb.Do("-exec-continue"), "running");
}

enum class Members { kInferior, kGdb, kBoth };

using GdbCase = std::tuple<Members, CgroupVersion>;

class GdbTest : public CyclesTest, public testing::WithParamInterface<GdbCase> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(MakeGroup(std::get<1>(GetParam())));
    ASSERT_NO_FATAL_FAILURE(RunToBreakpoint(gdb_));
    const Members members = std::get<0>(GetParam());
    if (members != Members::kGdb) {
      ASSERT_EQ(group().Add(gdb_.inferior()), absl::OkStatus());
    }
    if (members != Members::kInferior) {
      ASSERT_EQ(group().Add(gdb_.gdb()), absl::OkStatus());
    }
  }

  GdbSession gdb_{Debuggee()};
};

TEST_P(GdbTest, StepsAndContinuesAStoppedProgramThatWasFrozen) {
  const int count = gdb_.Evaluate(kCount);
  for (int i = 0; i < kCycles; ++i) {
    Cycle();
    EXPECT_EQ(gdb_.Evaluate(kCount), count + i);
    EXPECT_EQ(gdb_.Do("-exec-next-instruction"), "running");
    EXPECT_EQ(gdb_.NextStop(), "end-stepping-range");
    Cycle();
    const auto stat = ProcFs::Real().Stat(gdb_.inferior());
    ASSERT_TRUE(stat.ok());
    EXPECT_EQ(stat->state, 't');
    EXPECT_EQ(gdb_.Do("-exec-continue"), "running");
    EXPECT_EQ(gdb_.NextStop(), "breakpoint-hit");
  }
}

TEST_P(GdbTest, SeesNoStopOfARunningProgramThatWasFrozen) {
  ASSERT_NO_FATAL_FAILURE(LetRun(gdb_));
  for (int i = 0; i < kCycles; ++i) Cycle();
  // Any stop of before would come first.
  EXPECT_EQ(gdb_.Do("-exec-interrupt"), "done");
  EXPECT_EQ(gdb_.NextStop(), "SIGINT");
  EXPECT_GT(gdb_.Evaluate(kCount), 0);
}

std::string GdbCaseName(const testing::TestParamInfo<GdbCase>& info) {
  constexpr const char* kNames[] = {"Inferior", "Gdb", "Both"};
  return absl::StrCat(kNames[static_cast<int>(std::get<0>(info.param))], "_",
                      CgroupVersionName(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(
    Frozen, GdbTest,
    testing::Combine(testing::Values(Members::kInferior, Members::kGdb,
                                     Members::kBoth),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    GdbCaseName);

// The control.
TEST(GdbSessionTest, SeesSigstop) {
  GdbSession gdb(Debuggee());
  ASSERT_NO_FATAL_FAILURE(RunToBreakpoint(gdb));
  ASSERT_NO_FATAL_FAILURE(LetRun(gdb));
  ::kill(gdb.inferior(), SIGSTOP);
  EXPECT_EQ(gdb.NextStop(), "SIGSTOP");
}

}  // namespace
}  // namespace ckpt
