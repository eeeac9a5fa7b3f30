// The store on full disks and among mounts.  Works in a mount namespace of its
// own, so that nothing stays behind.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "store/criu_image_file.h"
#include "store/criu_images.h"
#include "store/criu_images.pb.h"
#include "store/image_store.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

using Strings = std::vector<std::string>;

class StoreKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "needs root, with the right to mount";
    }
  }

  void Mount(const std::string& source, const std::string& type,
             unsigned long flags, const std::string& options,
             const std::string& place) {
    ASSERT_EQ(::mkdir(place.c_str(), 0700), 0) << place;
    ASSERT_EQ(::mount(source.c_str(), place.c_str(), type.c_str(), flags,
                      options.c_str()),
              0)
        << place;
  }

  const TempDirectory dir_;
};

class FullDiskTest : public StoreKernelTest {
 protected:
  void SetUp() override {
    StoreKernelTest::SetUp();
    if (IsSkipped()) return;
    Mount("none", "tmpfs", 0, "size=1m", dir_.Path("disk"));
  }

  // Writes into `dir_fd` until nothing more fits.
  static void Fill(int dir_fd) {
    const auto fd = OpenAt(dir_fd, "pages-9.img", O_WRONLY | O_CREAT);
    ASSERT_TRUE(fd.ok()) << fd.status();
    const absl::Status full =
        WriteAll(fd->get(), std::string(2 << 20, 'x'), "pages-9.img");
    ASSERT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  }

  const ImageStore store_{dir_.Path("disk")};
};

TEST_F(FullDiskTest, SealSaysSoAndLeavesNothing) {
  {
    const auto pending = store_.Begin("job");
    ASSERT_TRUE(pending.ok()) << pending.status();
    Fill((*pending)->dir_fd());
    EXPECT_EQ((*pending)->Seal({}).status().code(),
              absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(*ListDirectory(dir_.Path("disk")), Strings());
}

TEST_F(FullDiskTest, SpaceIsSeenBefore) {
  const auto pending = store_.Begin("job");
  ASSERT_TRUE(pending.ok()) << pending.status();
  EXPECT_TRUE(CheckSpace((*pending)->dir_fd(), 1 << 19).ok());
  const absl::Status status = CheckSpace((*pending)->dir_fd(), 3 << 20);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            absl::StrCat((*pending)->path(),
                         ": not enough space: 3.0 MiB needed, 1.0 MiB free"));
}

TEST_F(FullDiskTest, TimerFixLeavesTheOldFile) {
  const auto pending = store_.Begin("job");
  ASSERT_TRUE(pending.ok()) << pending.status();
  const int dir_fd = (*pending)->dir_fd();
  criu_images::FileEntry timer;
  timer.mutable_tfd()->set_ticks(1);
  timer.mutable_tfd()->set_insec(1000);
  WriteCriuFile(dir_fd, "files.img", CriuMagic::kFiles, {&timer});
  const std::string before = ReadBack(dir_fd, "files.img");
  Fill(dir_fd);
  EXPECT_EQ(FixPeriodicTimerfds(dir_fd).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadBack(dir_fd, "files.img"), before);
  EXPECT_EQ(*ListDirectory((*pending)->path()),
            (Strings{"files.img", "pages-9.img"}));
}

// What a CRIU that is killed early leaves in an image's directory.
class MountsTest : public StoreKernelTest {
 protected:
  // Mounts a file system of its own, and a directory of the same file system,
  // below `yard`.
  void MakeYard(const std::string& yard) {
    ASSERT_EQ(::mkdir(dir_.Path("kept").c_str(), 0700), 0);
    WriteFile(dir_.fd(), "kept/file", "mine");
    ASSERT_EQ(::mkdir(yard.c_str(), 0700), 0);
    Mount("none", "tmpfs", 0, "", yard + "/cpu");
    Mount(dir_.Path("kept"), "", MS_BIND, "", yard + "/with space");
    Mount("none", "tmpfs", 0, "", yard + "/cpu/on top");
  }

  const ImageStore store_{dir_.Path("store")};
};

TEST_F(MountsTest, AbortDetachesWhatIsMounted) {
  const auto pending = store_.Begin("job");
  ASSERT_TRUE(pending.ok()) << pending.status();
  MakeYard((*pending)->path() + "/.criu.cgyard.abcdef");
  const absl::Status aborted = (*pending)->Abort();
  EXPECT_TRUE(aborted.ok()) << aborted;
  EXPECT_EQ(*ListDirectory(dir_.Path("store")), Strings());
  EXPECT_EQ(ReadBack(dir_.fd(), "kept/file"), "mine");
}

TEST_F(MountsTest, NextBeginDetachesWhatADeadWriterLeftMounted) {
  ASSERT_EQ(::mkdir(dir_.Path("store").c_str(), 0700), 0);
  const std::string stale = dir_.Path("store/.ckpt-pending-job-000001");
  ASSERT_EQ(::mkdir(stale.c_str(), 0700), 0);
  MakeYard(stale + "/.criu.cgyard.abcdef");
  {
    const auto pending = store_.Begin("next");
    ASSERT_TRUE(pending.ok()) << pending.status();
  }
  EXPECT_EQ(*ListDirectory(dir_.Path("store")), Strings());
  EXPECT_EQ(ReadBack(dir_.fd(), "kept/file"), "mine");
}

TEST_F(MountsTest, RemoveDetachesWhatAKilledRestoreLeftMounted) {
  auto pending = store_.Begin("job");
  ASSERT_TRUE(pending.ok()) << pending.status();
  ASSERT_TRUE((*pending)->Seal({}).ok());
  ASSERT_TRUE(std::move(**pending).Publish().ok());
  pending = absl::UnknownError("let go");
  MakeYard(dir_.Path("store/job/.criu.cgyard.abcdef"));
  const absl::Status removed = store_.Remove("job");
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_EQ(*ListDirectory(dir_.Path("store")), Strings());
  EXPECT_EQ(ReadBack(dir_.fd(), "kept/file"), "mine");
}

}  // namespace
}  // namespace ckpt
