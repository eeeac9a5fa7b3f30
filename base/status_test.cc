#include "base/status.h"

#include <cerrno>

#include "absl/strings/cord.h"
#include "gtest/gtest.h"

namespace ckpt {
namespace {

TEST(ErrnoToStatusTest, NamesWhatWhomAndWhy) {
  const absl::Status status = ErrnoToStatus(ENOENT, "open", "/a/b");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "open /a/b: No such file or directory");
}

TEST(ErrnoToStatusTest, ChoosesTheCodeByWhatToDoNext) {
  EXPECT_EQ(ErrnoToStatus(ENOSPC, "w").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoToStatus(EFBIG, "w").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoToStatus(EBUSY, "w").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoToStatus(ENODEV, "w").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoToStatus(EIO, "w").code(), absl::StatusCode::kInternal);
}

TEST(AppendErrorTest, KeepsTheFirstErrorsCodeAndPayload) {
  absl::Status first = absl::UnavailableError("busy");
  first.SetPayload("u", absl::Cord("p"));
  const absl::Status both =
      AppendError(first, "thaw", absl::InternalError("gone"));
  EXPECT_EQ(both.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(both.message(), "busy; then thaw: gone");
  EXPECT_EQ(both.GetPayload("u"), absl::Cord("p"));
}

TEST(AppendErrorTest, IsTheOtherOneWhenOneIsOk) {
  EXPECT_TRUE(AppendError(absl::OkStatus(), "x", absl::OkStatus()).ok());
  EXPECT_EQ(AppendError(absl::OkStatus(), "thaw", absl::InternalError("gone")),
            absl::InternalError("thaw: gone"));
  EXPECT_EQ(AppendError(absl::InternalError("a"), "thaw", absl::OkStatus()),
            absl::InternalError("a"));
}

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) return absl::InvalidArgumentError("odd");
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  CKPT_ASSIGN_OR_RETURN(const int half, Half(number));
  CKPT_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(MacrosTest, PassValuesAndErrors) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status(), absl::InvalidArgumentError("odd"));
}

}  // namespace
}  // namespace ckpt
