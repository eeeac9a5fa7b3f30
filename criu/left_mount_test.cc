#include "criu/left_mount.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::criu {
namespace {

class LeftMountTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::mkdir(path_.c_str(), 0700), 0);
    ASSERT_EQ(::access(path_.c_str(), F_OK), 0);
  }
  void TearDown() override {
    (void)::umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  }

  bool Exists() const { return ::access(path_.c_str(), F_OK) == 0; }
  bool IsMounted() const {
    return ::access((path_ + "/meminfo").c_str(), F_OK) == 0;
  }

  void SetAge(absl::Duration age) {
    const timespec time = absl::ToTimespec(now_ - age);
    const timespec times[] = {time, time};
    ASSERT_EQ(::utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }

  // Mounts /proc there as process 1 of a PID namespace, which ends when
  // `release` is closed.
  void MountInNamespace(int release) {
    int ready[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    init_ = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD,
                                         nullptr, nullptr, nullptr, nullptr));
    ASSERT_GE(init_, 0);
    char byte = 0;
    if (init_ == 0) {
      const int result =
          ::mount("proc", path_.c_str(), "proc", 0, nullptr) == 0 ? 0 : 1;
      (void)!::write(ready[1], "x", 1);
      while (release >= 0 && ::read(release, &byte, 1) > 0) {
      }
      ::_exit(result);
    }
    ::close(ready[1]);
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }

  int AwaitEnd() const {
    int status = -1;
    return ::waitpid(init_, &status, 0) == init_ ? status : -1;
  }

  TestDir dir_;
  const std::string path_ = dir_.File("proc.crtools");
  const absl::Time now_ = absl::FromUnixSeconds(1000);
  pid_t init_ = 0;
};

TEST_F(LeftMountTest, MountOfANamespaceThatHasEndedIsRemoved) {
  ASSERT_NO_FATAL_FAILURE(MountInNamespace(-1));
  ASSERT_EQ(AwaitEnd(), 0);
  ASSERT_TRUE(IsMounted());
  EXPECT_TRUE(RemoveLeftMount(dir_.path(), now_));
  EXPECT_FALSE(Exists());
}

TEST_F(LeftMountTest, MountOfANamespaceThatLivesStays) {
  int release[2];
  ASSERT_EQ(::pipe2(release, O_CLOEXEC), 0);
  const int end = ::dup(release[0]);
  ::close(release[0]);
  ASSERT_NO_FATAL_FAILURE(MountInNamespace(end));
  EXPECT_FALSE(RemoveLeftMount(dir_.path(), now_));
  EXPECT_TRUE(IsMounted());
  ::close(release[1]);
}

TEST_F(LeftMountTest, OldDirectoryIsRemoved) {
  ASSERT_NO_FATAL_FAILURE(SetAge(kMountLimit));
  EXPECT_TRUE(RemoveLeftMount(dir_.path(), now_));
  EXPECT_FALSE(Exists());
}

TEST_F(LeftMountTest, DirectoryOfTheFutureIsRemoved) {
  ASSERT_NO_FATAL_FAILURE(SetAge(-absl::Hours(1)));
  EXPECT_TRUE(RemoveLeftMount(dir_.path(), now_));
}

TEST_F(LeftMountTest, YoungDirectoryStays) {
  ASSERT_NO_FATAL_FAILURE(SetAge(kMountLimit / 2));
  EXPECT_FALSE(RemoveLeftMount(dir_.path(), now_));
  EXPECT_TRUE(Exists());
}

TEST_F(LeftMountTest, DirectoryWithSomethingInItStays) {
  ASSERT_EQ(::mkdir((path_ + "/mine").c_str(), 0700), 0);
  ASSERT_NO_FATAL_FAILURE(SetAge(absl::Hours(1)));
  EXPECT_FALSE(RemoveLeftMount(dir_.path(), now_));
  EXPECT_TRUE(Exists());
}

TEST_F(LeftMountTest, LinkIsNotFollowed) {
  ASSERT_EQ(::rmdir(path_.c_str()), 0);
  const std::string target = dir_.File("target");
  ASSERT_EQ(::mkdir(target.c_str(), 0700), 0);
  ASSERT_EQ(::symlink(target.c_str(), path_.c_str()), 0);
  EXPECT_FALSE(RemoveLeftMount(dir_.path(), now_));
  EXPECT_EQ(::access(target.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace ckpt::criu
