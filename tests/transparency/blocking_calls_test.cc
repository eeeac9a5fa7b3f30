// Which system calls notice that their caller was frozen: docs/freezer.md has
// the list.

#include <algorithm>
#include <iterator>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/testcases/workload.h"
#include "tests/transparency/cycles.h"

namespace ckpt {
namespace {

// The kernel restarts the others after a freeze (signal(7): those that it does
// not restart after SIGSTOP and SIGCONT either).
constexpr const char* kInterruptedByBoth[] = {"epoll_wait", "recv_udp_timeout",
                                              "semop"};
constexpr const char* kInterruptedByV2[] = {"recv_unix_timeout",
                                            "sigtimedwait"};
// v1 sets a task aside that sleeps in those two, without waking it, but wakes
// one that runs by a fake signal (kernel/freezer.c, freeze_task()): so it
// depends on whether the freeze meets it before the call sleeps.

template <size_t N>
bool Contains(const char* const (&names)[N], const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

using CallCase = std::tuple<const char*, CgroupVersion>;

class BlockingCallsTest : public CyclesTest,
                          public testing::WithParamInterface<CallCase> {
 protected:
  static constexpr int kCycles = 30;

  std::string call() const { return std::get<0>(GetParam()); }

  bool IsV2() const { return std::get<1>(GetParam()) == CgroupVersion::kV2; }
  bool IsInterrupted() const {
    return Contains(kInterruptedByBoth, call()) ||
           (IsV2() && Contains(kInterruptedByV2, call()));
  }
  bool MayBeInterrupted() const {
    return !IsV2() && Contains(kInterruptedByV2, call());
  }
};

TEST_P(BlockingCallsTest, GoesOnUnlessDocumented) {
  ASSERT_NO_FATAL_FAILURE(MakeGroup(std::get<1>(GetParam())));
  ASSERT_NO_FATAL_FAILURE(StartWorkload("blocking_calls", {"--call", call()}));
  absl::Status found;
  for (int i = 0; i < kCycles && found.ok(); ++i) {
    Cycle();
    found = WaitForBeats(status_path(), 1, Soon());
  }
  if (MayBeInterrupted() && found.ok()) return;
  if (!IsInterrupted() && !MayBeInterrupted()) {
    EXPECT_EQ(found, absl::OkStatus());
    return;
  }
  EXPECT_EQ(found.code(), absl::StatusCode::kDataLoss)
      << call() << " is no longer interrupted: tell docs/freezer.md";
  EXPECT_TRUE(absl::StrContains(
      found.message(), absl::StrCat(call(), ": Interrupted system call")))
      << found;
}

INSTANTIATE_TEST_SUITE_P(
    Calls, BlockingCallsTest,
    testing::Combine(testing::Values("clock_nanosleep", "epoll_wait", "flock",
                                     "futex", "msgrcv", "nanosleep", "poll",
                                     "pthread_cond_timedwait", "read_inotify",
                                     "read_pipe", "read_timerfd", "recv_udp",
                                     "recv_udp_timeout", "recv_unix",
                                     "recv_unix_timeout", "select",
                                     "sem_timedwait", "semop", "sigtimedwait",
                                     "waitpid"),
                     testing::Values(CgroupVersion::kV1, CgroupVersion::kV2)),
    [](const testing::TestParamInfo<CallCase>& info) {
      return absl::StrCat(std::get<0>(info.param), "_",
                          CgroupVersionName(std::get<1>(info.param)));
    });

// Timers of every kind go on firing, through many cycles.
class TimersTest : public BothFreezersTest {};

TEST_P(TimersTest, GoOnFiring) {
  ASSERT_NO_FATAL_FAILURE(StartWorkload("timers"));
  for (int i = 0; i < 20; ++i) {
    Cycle();
    ExpectUndisturbed();
  }
  // Past a whole window of its own counting.
  EXPECT_EQ(WaitForBeats(status_path(), 100, Soon()), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Freezers, TimersTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         VersionCaseName);

}  // namespace
}  // namespace ckpt
