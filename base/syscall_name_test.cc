#include "base/syscall_name.h"

#include <sys/syscall.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace ckpt {
namespace {

std::string Line(int64_t number, absl::string_view stack_pointer) {
  return absl::StrCat(number, " 0x3 0x0 0x1000 0x0 0x0 0x0 ", stack_pointer,
                      " 0x7f0000001000\n");
}

constexpr absl::string_view kStack = "0x7ffc12345678";

TEST(SyscallNameTest, NumberOfThisMachineHasItsName) {
  EXPECT_EQ(SyscallNameIn(Line(SYS_read, kStack)), "read");
  EXPECT_EQ(SyscallNameIn(Line(SYS_epoll_pwait, kStack)), "epoll_pwait");
  EXPECT_EQ(SyscallNameIn(Line(SYS_clone3, kStack)), "clone3");
}

TEST(SyscallNameTest, KernelTellsOfItsReaderThatItReads) {
  const auto line = ReadFile("/proc/thread-self/syscall");
  ASSERT_TRUE(line.ok()) << line.status();
  // The reader runs; some kernels tell the call nevertheless.
  EXPECT_TRUE(*line == "running\n" || SyscallNameIn(*line) == "read") << *line;
}

TEST(SyscallNameTest, ThreadThatIsInNoneHasNone) {
  EXPECT_EQ(SyscallNameIn("running\n"), "");
  EXPECT_EQ(SyscallNameIn("-1 0x7ffc12345678 0x7f0000001000\n"), "");
  EXPECT_EQ(SyscallNameIn(""), "");
}

TEST(SyscallNameTest, UnknownNumberHasNoName) {
  EXPECT_EQ(SyscallNameIn(Line(99999, kStack)), "");
}

TEST(SyscallNameTest, NumberOfA32BitProgramIsNotGuessed) {
  EXPECT_EQ(SyscallNameIn(Line(SYS_read, "0xffd01234")), "");
}

}  // namespace
}  // namespace ckpt
