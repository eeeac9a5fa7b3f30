#include "checkpoint/self.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

TEST(ImageNumberTest, IsWhatFollowsTheName) {
  EXPECT_EQ(ImageNumber("/store/solver.1", "/store/solver"), 1);
  EXPECT_EQ(ImageNumber("/store/solver.1207", "/store/solver"), 1207);
}

TEST(ImageNumberTest, OtherNamesHaveNone) {
  for (const char* const path :
       {"/store/solver", "/store/solver.", "/store/solver.0",
        "/store/solver.01", "/store/solver.1a", "/store/solver.-1",
        "/store/solver.+1", "/store/solver2.1", "/store/other.1",
        "/store/solver.99999999999999999999"}) {
    EXPECT_EQ(ImageNumber(path, "/store/solver"), 0) << path;
  }
}

TEST(ErrnoOfCodeTest, TellsTheCallerWhatToDoNext) {
  EXPECT_EQ(ErrnoOfCode(absl::StatusCode::kOk), 0);
  EXPECT_EQ(ErrnoOfCode(absl::StatusCode::kUnavailable), EBUSY);
  EXPECT_EQ(ErrnoOfCode(absl::StatusCode::kFailedPrecondition), ENOTSUP);
  EXPECT_EQ(ErrnoOfCode(absl::StatusCode::kDataLoss), EIO);
}

}  // namespace
}  // namespace ckpt::checkpoint
