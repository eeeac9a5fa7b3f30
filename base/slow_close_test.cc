#include "base/slow_close.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "gtest/gtest.h"

namespace ckpt {
namespace {

TEST(SlowCloseTest, DescriptorIsClosedAndNoChildIsLeft) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);

  CloseElsewhere(UniqueFd(ends[1]));

  // Returns when nobody has the other end any more.
  char byte;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 0);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace ckpt
