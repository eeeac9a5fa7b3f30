#include "store/criu_images.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

// Works on the image that WriteCriuImage() composes.
class CriuImagesTest : public testing::Test {
 protected:
  void SetUp() override { WriteCriuImage(dir_.fd()); }

  // Puts `entry` at the end of files.img.
  void AddFile(const criu_images::FileEntry& entry) {
    const auto file =
        CriuImageFile::Read(dir_.fd(), "files.img", CriuMagic::kFiles);
    ASSERT_TRUE(file.ok()) << file.status();
    std::vector<std::string> entries;
    for (size_t i = 0; i < file->entry_count(); ++i) {
      entries.emplace_back(file->entry(i));
    }
    entries.push_back(entry.SerializeAsString());
    WriteFile(dir_.fd(), "files.img", file->WithEntries(entries));
  }

  // Gives process 100 the one descriptor 7, of file `file_id`.
  void SetOnlyFd(uint32_t file_id, uint32_t type) {
    criu_images::FdInfo fd;
    fd.set_fd(7);
    fd.set_id(file_id);
    fd.set_type(type);
    WriteCriuFile(dir_.fd(), "fdinfo-9.img", CriuMagic::kFdInfo, {&fd});
  }

  // How descriptor 7 reads when it is a file of `entry`.
  std::string Description(criu_images::FileEntry entry) {
    entry.set_id(1000);
    AddFile(entry);
    SetOnlyFd(1000, entry.type());
    const auto contents = ReadContents(dir_.fd());
    EXPECT_TRUE(contents.ok()) << contents.status();
    EXPECT_EQ(contents->processes[0].fds.size(), 1U);
    EXPECT_EQ(contents->processes[0].fds[0].fd, 7);
    return contents->processes[0].fds[0].description;
  }

  const TempDirectory dir_;
};

TEST_F(CriuImagesTest, ProcessesAreDecoded) {
  const auto contents = ReadContents(dir_.fd());
  ASSERT_TRUE(contents.ok()) << contents.status();
  ASSERT_EQ(contents->processes.size(), 2U);
  const ImageProcess& parent = contents->processes[0];
  EXPECT_EQ(parent.pid, 100);
  EXPECT_EQ(parent.ppid, 0);
  EXPECT_EQ(parent.pgid, 100);
  EXPECT_EQ(parent.sid, 99);
  EXPECT_EQ(parent.threads, (std::vector<pid_t>{100, 101}));
  EXPECT_EQ(parent.comm, "job");
  EXPECT_EQ(parent.state, ImageTaskState::kRunning);
  EXPECT_EQ(parent.exe, "/usr/bin/job");
  EXPECT_EQ(parent.cwd, "/home/job");
  EXPECT_EQ(parent.mapped_bytes, 0x10000U + 0x4000 + 0x4000);
  EXPECT_EQ(parent.dumped_bytes, 3 * 4096U);
  const ImageProcess& child = contents->processes[1];
  EXPECT_EQ(child.pid, 102);
  EXPECT_EQ(child.ppid, 100);
  EXPECT_EQ(child.comm, "gone");
  EXPECT_EQ(child.state, ImageTaskState::kZombie);
  EXPECT_TRUE(child.fds.empty());
  EXPECT_EQ(child.threads, std::vector<pid_t>{102});
  EXPECT_EQ(contents->threads, 3);
  EXPECT_EQ(contents->memory_bytes, 5 * 4096U);
}

TEST_F(CriuImagesTest, StoppedProcessIsSeen) {
  criu_images::Core core;
  core.mutable_tc()->set_task_state(3);
  WriteCriuFile(dir_.fd(), "core-100.img", CriuMagic::kCore, {&core});
  EXPECT_EQ(ReadContents(dir_.fd())->processes[0].state,
            ImageTaskState::kStopped);
}

TEST_F(CriuImagesTest, DescriptorsAreDescribedInOrder) {
  const auto contents = ReadContents(dir_.fd());
  ASSERT_TRUE(contents.ok()) << contents.status();
  const std::vector<ImageFd>& fds = contents->processes[0].fds;
  ASSERT_EQ(fds.size(), 2U);
  EXPECT_EQ(fds[0].fd, 0);
  EXPECT_EQ(fds[0].description, "tcp 127.0.0.1:8080 LISTEN");
  EXPECT_EQ(fds[1].fd, 3);
  EXPECT_EQ(fds[1].description, "/var/log/job");
}

TEST_F(CriuImagesTest, FilesHaveSizeAndUse) {
  const auto contents = ReadContents(dir_.fd());
  ASSERT_TRUE(contents.ok()) << contents.status();
  ASSERT_EQ(contents->files.size(), 4U);
  const ImageFile& cwd = contents->files[0];
  EXPECT_EQ(cwd.path, "/home/job");
  EXPECT_TRUE(cwd.directory);
  EXPECT_FALSE(cwd.size_bytes.has_value());
  const ImageFile& program = contents->files[1];
  EXPECT_EQ(program.path, "/usr/bin/job");
  EXPECT_TRUE(program.executable);
  EXPECT_EQ(program.build_id, "01020304");
  const ImageFile& library = contents->files[2];
  EXPECT_TRUE(library.mapped);
  EXPECT_FALSE(library.open);
  EXPECT_EQ(library.size_bytes, 1004U);
  EXPECT_EQ(library.mode, 0100644U);
  const ImageFile& log = contents->files[3];
  EXPECT_EQ(log.path, "/var/log/job");
  EXPECT_TRUE(log.open);
  EXPECT_FALSE(log.mapped);
  EXPECT_FALSE(log.deleted);
}

TEST_F(CriuImagesTest, DeletedFileIsMarked) {
  criu_images::RemapPath remap;
  remap.set_orig_id(1);
  remap.set_remap_id(31);
  remap.set_remap_type(1);
  WriteCriuFile(dir_.fd(), "remap-fpath.img", CriuMagic::kRemapPath, {&remap});
  const auto contents = ReadContents(dir_.fd());
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_TRUE(contents->files[3].deleted);
  EXPECT_EQ(contents->processes[0].fds[1].description,
            "/var/log/job (deleted)");
  EXPECT_EQ(CheckComplete(dir_.fd()).message(),
            "image file ghost-file-1f.img: missing");
  WriteFile(dir_.fd(), "ghost-file-1f.img", "x");
  EXPECT_TRUE(CheckComplete(dir_.fd()).ok());
}

TEST_F(CriuImagesTest, Ipv6ConnectionIsDescribed) {
  criu_images::FileEntry entry;
  entry.set_type(4);
  criu_images::InetSocket& socket = *entry.mutable_isk();
  socket.set_family(AF_INET6);
  socket.set_type(SOCK_STREAM);
  socket.set_proto(6);
  socket.set_state(1);
  socket.set_src_port(22);
  socket.set_dst_port(4711);
  for (const uint32_t word : {0U, 0U, 0U, 0x01000000U}) {
    socket.add_src_addr(word);
    socket.add_dst_addr(word);
  }
  EXPECT_EQ(Description(entry), "tcp6 [::1]:22 -> [::1]:4711 ESTABLISHED");
  EXPECT_EQ(ReadContents(dir_.fd())->sockets.back().state, "ESTABLISHED");
}

TEST_F(CriuImagesTest, UnixSocketsNameTheirPeers) {
  criu_images::FileEntry server;
  server.set_type(5);
  server.set_id(900);
  server.mutable_usk()->set_ino(55);
  server.mutable_usk()->set_state(1);
  server.mutable_usk()->set_name(std::string("/run/job\0", 9));
  AddFile(server);
  criu_images::FileEntry client;
  client.set_type(5);
  client.mutable_usk()->set_ino(56);
  client.mutable_usk()->set_peer(55);
  client.mutable_usk()->set_state(1);
  client.mutable_usk()->set_name(std::string("\0abstract", 9));
  EXPECT_EQ(Description(client), "unix @abstract -> /run/job ESTABLISHED");
}

TEST_F(CriuImagesTest, WhatHasNoPathIsDescribedByItsKind) {
  criu_images::FileEntry pipe;
  pipe.set_type(2);
  pipe.mutable_pipe()->set_pipe_id(8);
  EXPECT_EQ(Description(pipe), "pipe:[8]");
  criu_images::FileEntry timer;
  timer.set_type(17);
  EXPECT_EQ(Description(timer), "timerfd");
  criu_images::FileEntry later;
  later.set_type(99);
  EXPECT_EQ(Description(later), "file of type 99");
}

TEST_F(CriuImagesTest, TerminalIsDescribedByItsPath) {
  criu_images::FileEntry tty;
  tty.set_type(11);
  tty.mutable_tty()->set_regf_id(1);
  EXPECT_EQ(Description(tty), "/var/log/job");
}

TEST_F(CriuImagesTest, MemFdIsDescribedByItsNameAndNeedsItsPages) {
  criu_images::MemFdInode inode;
  inode.set_inode_id(6);
  inode.set_name("cache");
  inode.set_size(4096);
  inode.set_shmid(78);
  WriteCriuFile(dir_.fd(), "memfd.img", CriuMagic::kMemFdInode, {&inode});
  criu_images::FileEntry memfd;
  memfd.set_type(18);
  memfd.mutable_memfd()->set_inode_id(6);
  EXPECT_EQ(Description(memfd), "memfd:cache");
  EXPECT_EQ(CheckComplete(dir_.fd()).message(),
            "image file pagemap-shmem-78.img: missing");
}

TEST_F(CriuImagesTest, SystemVMemoryNeedsItsPages) {
  criu_images::IpcShm segment;
  segment.mutable_desc()->set_id(4);
  WriteCriuFile(dir_.fd(), "ipcns-shm-9.img", CriuMagic::kIpcShm, {&segment});
  EXPECT_EQ(CheckComplete(dir_.fd()).message(),
            "image file pagemap-shmem-4.img: missing");
}

TEST_F(CriuImagesTest, WholeImageIsComplete) {
  EXPECT_TRUE(CheckComplete(dir_.fd()).ok()) << CheckComplete(dir_.fd());
}

TEST_F(CriuImagesTest, EveryFileIsNeededAndNamed) {
  for (const std::string& name : dir_.Names()) {
    const std::string bytes = ReadBack(dir_.fd(), name);
    ASSERT_EQ(::unlink(dir_.Path(name).c_str()), 0);
    const absl::Status status = CheckComplete(dir_.fd());
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << name;
    EXPECT_EQ(status.message(), absl::StrCat("image file ", name, ": missing"));
    WriteFile(dir_.fd(), name, bytes);
  }
}

TEST_F(CriuImagesTest, EveryFileCutShortIsFound) {
  for (const std::string& name : dir_.Names()) {
    const std::string bytes = ReadBack(dir_.fd(), name);
    for (const size_t size : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
      WriteFile(dir_.fd(), name, bytes.substr(0, size));
      const absl::Status status = CheckComplete(dir_.fd());
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << name << size;
      EXPECT_TRUE(absl::StrContains(status.message(), name)) << status;
    }
    WriteFile(dir_.fd(), name, bytes);
  }
}

TEST_F(CriuImagesTest, NoFlippedBitDoesHarm) {
  for (const std::string& name : dir_.Names()) {
    if (absl::StartsWith(name, "pages-")) continue;
    const std::string bytes = ReadBack(dir_.fd(), name);
    for (size_t i = 0; i < bytes.size(); ++i) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
      WriteFile(dir_.fd(), name, damaged);
      CheckComplete(dir_.fd()).IgnoreError();
      ReadContents(dir_.fd()).IgnoreError();
    }
    WriteFile(dir_.fd(), name, bytes);
  }
}

TEST_F(CriuImagesTest, PagesInAParentImageAreMissing) {
  criu_images::PagemapHead head;
  head.set_pages_id(1);
  criu_images::PagemapEntry entry;
  entry.set_nr_pages_32(5);
  entry.set_flags(1);
  WriteCriuFile(dir_.fd(), "pagemap-100.img", CriuMagic::kPagemap,
                {&head, &entry});
  EXPECT_EQ(CheckComplete(dir_.fd()).message(),
            "image file pagemap-100.img: 5 pages are not in the image");
}

TEST_F(CriuImagesTest, DescriptorOfAnUnknownFileIsFound) {
  SetOnlyFd(4242, 1);
  EXPECT_EQ(CheckComplete(dir_.fd()).message(),
            "image file fdinfo-9.img: it uses file 4242, which files.img does "
            "not have");
}

class TimerFdTest : public CriuImagesTest {
 protected:
  static criu_images::FileEntry Timer(uint64_t ticks, uint64_t left_ns,
                                      uint64_t interval_ns) {
    criu_images::FileEntry entry;
    entry.set_type(17);
    entry.set_id(50);
    criu_images::TimerFd& timer = *entry.mutable_tfd();
    timer.set_ticks(ticks);
    timer.set_vsec(left_ns / 1000000000);
    timer.set_vnsec(left_ns % 1000000000);
    timer.set_isec(interval_ns / 1000000000);
    timer.set_insec(interval_ns % 1000000000);
    return entry;
  }
};

TEST_F(TimerFdTest, PeriodicTimerWithUnreadExpirationsGetsItsInterval) {
  AddFile(Timer(3, 0, 2500000000));
  const std::string before = ReadBack(dir_.fd(), "files.img");
  const auto fixed = FixPeriodicTimerfds(dir_.fd());
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  EXPECT_EQ(*fixed, 1);
  const auto file =
      CriuImageFile::Read(dir_.fd(), "files.img", CriuMagic::kFiles);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->entry_count(), 6U);
  const auto entry = file->Parse<criu_images::FileEntry>(5);
  EXPECT_EQ(entry->tfd().vsec(), 2U);
  EXPECT_EQ(entry->tfd().vnsec(), 500000000U);
  EXPECT_EQ(entry->tfd().ticks(), 3U);
  // The entries before it are the same, byte by byte.
  const size_t same =
      before.size() - Timer(3, 0, 2500000000).ByteSizeLong() - 4;
  EXPECT_EQ(ReadBack(dir_.fd(), "files.img").substr(0, same),
            before.substr(0, same));
  EXPECT_FALSE(absl::StrContains(absl::StrCat(dir_.Names().back()), "new"));
}

TEST_F(TimerFdTest, FixedImageNeedsNoMoreFixing) {
  AddFile(Timer(3, 0, 1000));
  EXPECT_EQ(*FixPeriodicTimerfds(dir_.fd()), 1);
  EXPECT_EQ(*FixPeriodicTimerfds(dir_.fd()), 0);
}

TEST_F(TimerFdTest, FieldsThatWeDoNotKnowSurvive) {
  criu_images::FileEntry timer = Timer(1, 0, 1000);
  // flags = 2, fown = 3 and clockid = 4 of CRIU's timerfd_entry.
  timer.mutable_tfd()->mutable_unknown_fields()->AddVarint(2, 04002);
  timer.mutable_tfd()->mutable_unknown_fields()->AddLengthDelimited(3, "owner");
  timer.mutable_tfd()->mutable_unknown_fields()->AddVarint(4, 1);
  AddFile(timer);
  EXPECT_EQ(*FixPeriodicTimerfds(dir_.fd()), 1);
  timer.mutable_tfd()->set_vnsec(1000);
  const auto file =
      CriuImageFile::Read(dir_.fd(), "files.img", CriuMagic::kFiles);
  EXPECT_EQ(std::string(file->entry(5)), timer.SerializeAsString());
}

TEST_F(TimerFdTest, OtherTimersAndTheFileAreLeftAlone) {
  AddFile(Timer(3, 0, 0));       // one shot, expired
  AddFile(Timer(0, 0, 1000));    // disarmed
  AddFile(Timer(3, 200, 1000));  // running
  struct stat before {};
  ASSERT_EQ(::stat(dir_.Path("files.img").c_str(), &before), 0);
  const auto fixed = FixPeriodicTimerfds(dir_.fd());
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  EXPECT_EQ(*fixed, 0);
  struct stat after {};
  ASSERT_EQ(::stat(dir_.Path("files.img").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(TimerFdTest, MissingFilesImageIsDataLoss) {
  ASSERT_EQ(::unlink(dir_.Path("files.img").c_str()), 0);
  EXPECT_EQ(FixPeriodicTimerfds(dir_.fd()).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ckpt
