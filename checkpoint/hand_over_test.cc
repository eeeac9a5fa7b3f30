#include "checkpoint/hand_over.h"

#include <sys/resource.h>
#include <unistd.h>

#include <vector>

#include "absl/status/status.h"
#include "base/proc.h"
#include "gtest/gtest.h"

namespace ckpt::checkpoint {
namespace {

TEST(LeavingTreeTest, JobWithMoreProcessesThanDescriptorsIsRefused) {
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto few =
      LeavingTree::Open(std::vector<pid_t>(10, ::getpid()), ProcFs::Real());
  const auto many =
      LeavingTree::Open(std::vector<pid_t>(100, ::getpid()), ProcFs::Real());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);

  ASSERT_TRUE(few.ok()) << few.status();
  EXPECT_EQ((*few)->Given().processes.size(), 10U);
  EXPECT_TRUE(absl::IsResourceExhausted(many.status())) << many.status();
}

}  // namespace
}  // namespace ckpt::checkpoint
