#include "store/test_support.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "store/criu_images.pb.h"
#include "store/remove_tree.h"

namespace ckpt {
namespace {

std::string LittleEndian(uint32_t word) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) {
    bytes += static_cast<char>(word >> shift);
  }
  return bytes;
}

criu_images::FileEntry RegularFile(uint32_t id, const std::string& path) {
  criu_images::FileEntry file;
  file.set_type(1);
  file.set_id(id);
  file.mutable_reg()->set_name(path);
  file.mutable_reg()->set_mode(0100644);
  file.mutable_reg()->set_size(1000 + id);
  return file;
}

void WriteFilesImage(int dir_fd) {
  const criu_images::FileEntry log = RegularFile(1, "/var/log/job");
  criu_images::FileEntry program = RegularFile(2, "/usr/bin/job");
  program.mutable_reg()->add_build_id(0x04030201);
  criu_images::FileEntry cwd = RegularFile(3, "/home/job");
  cwd.mutable_reg()->clear_size();
  cwd.mutable_reg()->set_mode(0040755);
  const criu_images::FileEntry library = RegularFile(4, "/usr/lib/libjob.so");
  criu_images::FileEntry listener;
  listener.set_type(4);
  listener.set_id(5);
  criu_images::InetSocket& socket = *listener.mutable_isk();
  socket.set_family(AF_INET);
  socket.set_type(SOCK_STREAM);
  socket.set_proto(6);
  socket.set_state(10);
  socket.set_src_port(8080);
  socket.set_dst_port(0);
  socket.add_src_addr(0x0100007f);
  socket.add_dst_addr(0);
  WriteCriuFile(dir_fd, "files.img", CriuMagic::kFiles,
                {&log, &program, &cwd, &library, &listener});
}

void WriteMemory(int dir_fd) {
  criu_images::Mm mm;
  mm.set_exe_file_id(2);
  criu_images::Vma& heap = *mm.add_vmas();
  heap.set_start(0x10000);
  heap.set_end(0x20000);
  heap.set_status(1 | 1 << 9);
  criu_images::Vma& library = *mm.add_vmas();
  library.set_start(0x20000);
  library.set_end(0x24000);
  library.set_shmid(4);
  library.set_status(1 | 1 << 6);
  criu_images::Vma& shared = *mm.add_vmas();
  shared.set_start(0x30000);
  shared.set_end(0x34000);
  shared.set_shmid(77);
  shared.set_status(1 | 1 << 8);
  WriteCriuFile(dir_fd, "mm-100.img", CriuMagic::kMm, {&mm});

  criu_images::PagemapHead head;
  head.set_pages_id(1);
  criu_images::PagemapEntry first;
  first.set_vaddr(0x10000);
  first.set_nr_pages_32(2);
  first.set_flags(4);
  criu_images::PagemapEntry second;  // as CRIU 4.2 writes it
  second.set_vaddr(0x18000);
  second.set_nr_pages_32(0);
  second.set_flags(4);
  second.set_nr_pages(1);
  WriteCriuFile(dir_fd, "pagemap-100.img", CriuMagic::kPagemap,
                {&head, &first, &second});
  WriteFile(dir_fd, "pages-1.img", std::string(size_t{3} * 4096, 'p'));

  head.set_pages_id(2);
  WriteCriuFile(dir_fd, "pagemap-shmem-77.img", CriuMagic::kPagemap,
                {&head, &first});
  WriteFile(dir_fd, "pages-2.img", std::string(size_t{2} * 4096, 's'));
}

void WriteTasks(int dir_fd) {
  criu_images::Process parent;
  parent.set_pid(100);
  parent.set_ppid(0);
  parent.set_pgid(100);
  parent.set_sid(99);
  parent.add_threads(100);
  parent.add_threads(101);
  criu_images::Process child;
  child.set_pid(102);
  child.set_ppid(100);
  child.set_pgid(100);
  child.set_sid(99);
  child.add_threads(1792436704);  // what CRIU writes for a zombie is nonsense
  WriteCriuFile(dir_fd, "pstree.img", CriuMagic::kPstree, {&parent, &child});

  criu_images::Core core;
  core.mutable_tc()->set_task_state(1);
  core.mutable_tc()->set_comm("job");
  WriteCriuFile(dir_fd, "core-100.img", CriuMagic::kCore, {&core});
  const criu_images::Core thread;
  WriteCriuFile(dir_fd, "core-101.img", CriuMagic::kCore, {&thread});
  core.mutable_tc()->set_task_state(2);
  core.mutable_tc()->set_comm("gone");
  WriteCriuFile(dir_fd, "core-102.img", CriuMagic::kCore, {&core});

  criu_images::Fs fs;
  fs.set_cwd_id(3);
  fs.set_root_id(3);
  WriteCriuFile(dir_fd, "fs-100.img", CriuMagic::kFs, {&fs});
  criu_images::Ids ids;
  ids.set_files_id(9);
  WriteCriuFile(dir_fd, "ids-100.img", CriuMagic::kIds, {&ids});
  criu_images::FdInfo output;
  output.set_fd(3);
  output.set_id(1);
  output.set_type(1);
  criu_images::FdInfo input;
  input.set_fd(0);
  input.set_id(5);
  input.set_type(4);
  WriteCriuFile(dir_fd, "fdinfo-9.img", CriuMagic::kFdInfo, {&output, &input});
}

}  // namespace

TempDirectory::TempDirectory() : path_("/tmp/ckpt-store-XXXXXX") {
  EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  auto fd = OpenDirectory(path_);
  EXPECT_TRUE(fd.ok()) << fd.status();
  fd_ = *std::move(fd);
}

TempDirectory::~TempDirectory() {
  const auto parent = OpenDirectory("/tmp");
  const absl::Status removed =
      RemoveTree(parent->get(), path_.substr(sizeof("/tmp/") - 1));
  EXPECT_TRUE(removed.ok()) << removed;
}

std::string TempDirectory::Path(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

std::vector<std::string> TempDirectory::Names() const {
  return ListDirectory(path_).value();
}

void WriteFile(int dir_fd, const std::string& name, absl::string_view data) {
  const auto fd = OpenAt(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC);
  ASSERT_TRUE(fd.ok()) << fd.status();
  ASSERT_TRUE(WriteAll(fd->get(), data, name).ok());
}

std::string ReadBack(int dir_fd, const std::string& name) {
  return ReadFileAt(dir_fd, name).value();
}

std::string Pattern(size_t size) {
  std::string data(size, '\0');
  uint32_t state = 1;
  for (char& c : data) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return data;
}

void WriteCriuFile(
    int dir_fd, const std::string& name, CriuMagic magic,
    const std::vector<const google::protobuf::MessageLite*>& entries) {
  std::string data = LittleEndian(static_cast<uint32_t>(magic));
  if (magic == CriuMagic::kStats) {
    data.insert(0, LittleEndian(kCriuServiceMagic));
  } else if (magic != CriuMagic::kInventory) {
    data.insert(0, LittleEndian(kCriuCommonMagic));
  }
  for (const google::protobuf::MessageLite* entry : entries) {
    const std::string bytes = entry->SerializeAsString();
    absl::StrAppend(&data, LittleEndian(static_cast<uint32_t>(bytes.size())),
                    bytes);
  }
  WriteFile(dir_fd, name, data);
}

void WriteCriuImage(int dir_fd) {
  criu_images::Inventory inventory;
  inventory.set_img_version(2);
  WriteCriuFile(dir_fd, "inventory.img", CriuMagic::kInventory, {&inventory});
  WriteFilesImage(dir_fd);
  WriteTasks(dir_fd);
  WriteMemory(dir_fd);
}

}  // namespace ckpt
