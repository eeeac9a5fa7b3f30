#include "base/proc.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "gtest/gtest.h"

namespace ckpt {
namespace {

TEST(ParseStatTest, ReadsACommandWithBlanksAndParentheses) {
  const auto stat = ParseStat(
      "42 (a) b (c) S 1 40 39 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0\n");
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->comm, "a) b (c");
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->ppid, 1);
  EXPECT_EQ(stat->pgid, 40);
  EXPECT_EQ(stat->sid, 39);
  EXPECT_EQ(stat->start_ticks, 777u);
}

TEST(ParseStatTest, NameOfOtherBytesBecomesText) {
  const auto stat = ParseStat(
      "77 (a\xff) S 1 2 3 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 9000 1 2");
  ASSERT_TRUE(stat.ok()) << stat.status();
  EXPECT_EQ(stat->comm, "a?");
}

TEST(ParseStatTest, RefusesWhatIsNoStatLine) {
  EXPECT_EQ(ParseStat("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseStat("1 (x) S 1").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ProcFsTest, SeesAChildAsPartOfTheTree) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  ProcFs& proc = ProcFs::Real();
  const auto tree = ProcessTree(proc, ::getpid());
  ASSERT_TRUE(tree.ok());
  EXPECT_EQ(tree->front(), ::getpid());
  EXPECT_NE(std::find(tree->begin(), tree->end(), child), tree->end());
  const auto stat = proc.Stat(child);
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->ppid, ::getpid());
  EXPECT_EQ(stat->pid, child);
  EXPECT_EQ(*proc.StatusField(child, "TracerPid"), "0");
  EXPECT_EQ(InnermostPid(proc, child), child);
  const auto threads = proc.ThreadStats(child);
  ASSERT_TRUE(threads.ok());
  ASSERT_GE(threads->size(), 1u);
  EXPECT_EQ(threads->front().tid, child);
  EXPECT_EQ(threads->front().pid, child);
  EXPECT_EQ(threads->front().start_ticks, stat->start_ticks);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(proc.Stat(child).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ckpt
