#include "base/lease.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt {
namespace {

// A lease on a directory that holds a token and a file that shows it alive; at
// its end it writes "over".
class LeaseTest : public testing::Test {
 protected:
  LeaseTest() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_.Reset(ends[0]);
    write_.Reset(ends[1]);
    token_ = Make("token");
    (void)Make("group/alive");
    lock_.Reset(::open(group_.c_str(), O_DIRECTORY | O_CLOEXEC));
  }

  UniqueFd Make(const std::string& name) {
    return UniqueFd(
        ::open(dir_.File(name).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  }

  void Start(absl::Duration from_now) {
    Lease lease({.end = BootTime() + from_now,
                 .token_fd = token_.get(),
                 .lock_fd = lock_.get(),
                 .alive_file = "alive"});
    lease.at_end().AddWrite(write_.get(), "over");
    ASSERT_EQ(lease.Start(), absl::OkStatus());
    // What is left belongs to the lease.
    write_.Reset();
    lock_.Reset();
  }

  // All that the process wrote before it ended.
  std::string WaitForEnd() {
    char text[16];
    std::string all;
    ssize_t count;
    while ((count = ::read(read_.get(), text, sizeof(text))) > 0) {
      all.append(text, static_cast<size_t>(count));
    }
    return all;
  }

  const TestDir dir_;
  const std::string group_ = dir_.MakeDirectory("group");
  UniqueFd read_, write_, token_, lock_;
};

TEST_F(LeaseTest, ActsAtItsEnd) {
  Start(absl::ZeroDuration());
  EXPECT_EQ(WaitForEnd(), "over");
}

TEST_F(LeaseTest, EndsWithNothingDoneWhenItsTokenIsRemoved) {
  Start(absl::Hours(1));
  ASSERT_EQ(::unlink(dir_.File("token").c_str()), 0);
  EXPECT_EQ(WaitForEnd(), "");
}

TEST_F(LeaseTest, EndsWithNothingDoneWhenItsTokenIsReplaced) {
  Start(absl::Hours(1));
  (void)Make("newer");
  ASSERT_EQ(::rename(dir_.File("newer").c_str(), dir_.File("token").c_str()),
            0);
  EXPECT_EQ(WaitForEnd(), "");
}

TEST_F(LeaseTest, ActsWhenTheDirectoryIsGone) {
  Start(absl::Hours(1));
  ASSERT_EQ(::unlink((group_ + "/alive").c_str()), 0);
  ASSERT_EQ(::rmdir(group_.c_str()), 0);
  EXPECT_EQ(WaitForEnd(), "over");
}

TEST_F(LeaseTest, CanBeCalledOffWhileItWaitsForTheLock) {
  const UniqueFd lock(::open(group_.c_str(), O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  Start(absl::ZeroDuration());
  pollfd nothing = {read_.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&nothing, 1, 0), 0);
  ASSERT_EQ(::unlink(dir_.File("token").c_str()), 0);
  ASSERT_EQ(::flock(lock.get(), LOCK_UN), 0);
  EXPECT_EQ(WaitForEnd(), "");
}

}  // namespace
}  // namespace ckpt
