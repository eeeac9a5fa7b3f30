#include "criu/log.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace ckpt::criu {
namespace {

constexpr char kRlimit[] =
    "(00.000100) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE "
    "for self: Operation not permitted\n";

TEST(LastErrorsTest, LeavesOutWhatCriuPrintsOnSuccessToo) {
  EXPECT_TRUE(LastErrors(kRlimit, 4).empty());
}

TEST(LastErrorsTest, KeepsTheLastLinesWithoutTimesAndRepetition) {
  const auto errors = LastErrors(
      "(00.1) Error (criu/a.c:1): one\n"
      "(00.2) Warn  (criu/a.c:2): no\n"
      "(00.3)     42: Error (criu/b.c:3): two\n"
      "(00.4) Error (criu/b.c:3): two\n"
      "(00.5) Error (criu/c.c:4): three\n",
      2);
  EXPECT_EQ(errors, (std::vector<std::string>{"Error (criu/b.c:3): two",
                                              "Error (criu/c.c:4): three"}));
}

TEST(ExplainFailureTest, NamesTheOptionThatResolvesIt) {
  const absl::Status status = ExplainFailure(
      "dump process 7",
      "(00.1) Error (criu/sk-inet.c:201): inet: Connected TCP socket, consider "
      "using --tcp-established option.\n",
      "");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "use --tcp-established"));
  EXPECT_TRUE(absl::StrContains(status.message(), "sk-inet.c:201"));
}

TEST(ExplainFailureTest, GhostFileOfAKilledRestoreIsNoProcessId) {
  const absl::Status status = ExplainFailure(
      "restore the image",
      "(00.1) Error (criu/files-reg.c:467): Can't create ghost regfile: File "
      "exists\n",
      "");
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "NAME.cr.N.ghost")) << status;
}

TEST(ExplainFailureTest, FullDiskIsResourceExhausted) {
  EXPECT_EQ(
      ExplainFailure("dump", "Error (x): write: No space left on device", "")
          .code(),
      absl::StatusCode::kResourceExhausted);
}

TEST(ExplainFailureTest, WithoutBetterReasonIsInternalWithCriusWords) {
  const absl::Status status =
      ExplainFailure("restore", kRlimit, "something odd");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(absl::StrContains(status.message(), "something odd"));
}

TEST(ShowsLostMemoryTest, SeesTheLineThatCriuTakesForASuccess) {
  EXPECT_TRUE(ShowsLostMemory("x Can't read mapping page 0\n"));
  EXPECT_FALSE(ShowsLostMemory(kRlimit));
}

}  // namespace
}  // namespace ckpt::criu
