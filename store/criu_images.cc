// ReadContents() of criu_images.h.
#include "store/criu_images.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "store/criu_descriptions.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"
#include "store/criu_pagemap.h"
#include "store/criu_values.h"

namespace ckpt {
namespace {

// Thread-compatible; one use.
class ContentsReader {
 public:
  explicit ContentsReader(int dir_fd) : dir_fd_(dir_fd) {}

  absl::StatusOr<ImageContents> Read();

 private:
  // What a file of files.img is used for.
  struct Use {
    bool open = false;
    bool mapped = false;
    bool executable = false;
    bool directory = false;
  };

  absl::Status ReadFiles();
  absl::Status ReadRemaps();
  absl::Status ReadMemFds();
  absl::Status ReadProcess(const criu_images::Process& process);
  absl::Status ReadMemory(uint32_t pid, ImageProcess& result);
  absl::Status ReadFds(uint32_t pid, ImageProcess& result);
  absl::Status ReadSharedMemory();
  void CollectFiles();
  void CollectSockets();

  // Entry `id` of files.img, or nullptr.
  const criu_images::FileEntry* File(uint32_t id) const;
  std::string PathOf(uint32_t id) const;
  std::string Describe(uint32_t id) const;
  ImageSocket Socket(const criu_images::FileEntry& entry) const;

  const int dir_fd_;
  std::map<uint32_t, criu_images::FileEntry> files_;  // by id
  std::map<uint32_t, Use> uses_;                      // by id
  std::set<uint32_t> deleted_;                        // ids
  std::map<uint32_t, std::string> unix_names_;        // by inode
  std::map<uint64_t, std::string> memfd_names_;       // by inode_id
  ImageContents contents_;
};

// The one entry of a file.
template <typename Message>
absl::StatusOr<Message> ReadOne(int dir_fd, const std::string& name,
                                CriuMagic magic) {
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        CriuImageFile::Read(dir_fd, name, magic));
  return file.ParseOne<Message>();
}

// All entries of a file; if `optional`, of one that may be missing.
template <typename Message>
absl::StatusOr<std::vector<Message>> ReadAll(int dir_fd,
                                             const std::string& name,
                                             CriuMagic magic, bool optional) {
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        optional
                            ? CriuImageFile::ReadIfThere(dir_fd, name, magic)
                            : CriuImageFile::Read(dir_fd, name, magic));
  return file.ParseAll<Message>();
}

absl::StatusOr<ImageContents> ContentsReader::Read() {
  CKPT_RETURN_IF_ERROR(ReadFiles());
  CKPT_RETURN_IF_ERROR(ReadRemaps());
  CKPT_RETURN_IF_ERROR(ReadMemFds());
  CKPT_ASSIGN_OR_RETURN(
      const std::vector<criu_images::Process> processes,
      ReadAll<criu_images::Process>(dir_fd_, "pstree.img", CriuMagic::kPstree,
                                    /*optional=*/false));
  for (const criu_images::Process& process : processes) {
    CKPT_RETURN_IF_ERROR(ReadProcess(process));
  }
  CKPT_RETURN_IF_ERROR(ReadSharedMemory());
  CollectFiles();
  CollectSockets();
  return std::move(contents_);
}

absl::Status ContentsReader::ReadFiles() {
  CKPT_ASSIGN_OR_RETURN(
      const std::vector<criu_images::FileEntry> entries,
      ReadAll<criu_images::FileEntry>(dir_fd_, "files.img", CriuMagic::kFiles,
                                      /*optional=*/false));
  for (const criu_images::FileEntry& entry : entries) {
    files_[entry.id()] = entry;
    if (entry.has_usk()) {
      unix_names_[entry.usk().ino()] = UnixName(entry.usk());
    }
  }
  return absl::OkStatus();
}

absl::Status ContentsReader::ReadRemaps() {
  CKPT_ASSIGN_OR_RETURN(const std::vector<criu_images::RemapPath> remaps,
                        ReadAll<criu_images::RemapPath>(
                            dir_fd_, "remap-fpath.img", CriuMagic::kRemapPath,
                            /*optional=*/true));
  for (const criu_images::RemapPath& remap : remaps) {
    if (remap.remap_type() == kRemapLinked ||
        remap.remap_type() == kRemapGhost) {
      deleted_.insert(remap.orig_id());
    }
  }
  return absl::OkStatus();
}

absl::Status ContentsReader::ReadMemFds() {
  CKPT_ASSIGN_OR_RETURN(
      const std::vector<criu_images::MemFdInode> inodes,
      ReadAll<criu_images::MemFdInode>(
          dir_fd_, "memfd.img", CriuMagic::kMemFdInode, /*optional=*/true));
  for (const criu_images::MemFdInode& inode : inodes) {
    memfd_names_[inode.inode_id()] = inode.name();
  }
  return absl::OkStatus();
}

absl::Status ContentsReader::ReadProcess(const criu_images::Process& process) {
  const uint32_t pid = process.pid();
  ImageProcess result;
  result.pid = static_cast<pid_t>(pid);
  result.ppid = static_cast<pid_t>(process.ppid());
  result.pgid = static_cast<pid_t>(process.pgid());
  result.sid = static_cast<pid_t>(process.sid());
  result.threads.push_back(result.pid);
  CKPT_ASSIGN_OR_RETURN(
      const criu_images::Core core,
      ReadOne<criu_images::Core>(dir_fd_, absl::StrCat("core-", pid, ".img"),
                                 CriuMagic::kCore));
  result.comm = core.tc().comm();
  const uint32_t state = core.tc().task_state();
  if (IsZombie(state)) {
    // CRIU writes a number that it never set as the thread of a zombie.
    result.state = ImageTaskState::kZombie;
  } else {
    if (state == kTaskAlive) result.state = ImageTaskState::kRunning;
    if (state == kTaskStopped) result.state = ImageTaskState::kStopped;
    for (const uint32_t tid : process.threads()) {
      if (tid != pid) result.threads.push_back(static_cast<pid_t>(tid));
    }
    CKPT_ASSIGN_OR_RETURN(
        const criu_images::Fs fs,
        ReadOne<criu_images::Fs>(dir_fd_, absl::StrCat("fs-", pid, ".img"),
                                 CriuMagic::kFs));
    result.cwd = PathOf(fs.cwd_id());
    result.root = PathOf(fs.root_id());
    uses_[fs.cwd_id()].directory = true;
    uses_[fs.root_id()].directory = true;
    CKPT_RETURN_IF_ERROR(ReadMemory(pid, result));
    CKPT_RETURN_IF_ERROR(ReadFds(pid, result));
  }
  contents_.threads += static_cast<int>(result.threads.size());
  contents_.memory_bytes += result.dumped_bytes;
  contents_.processes.push_back(std::move(result));
  return absl::OkStatus();
}

absl::Status ContentsReader::ReadMemory(uint32_t pid, ImageProcess& result) {
  CKPT_ASSIGN_OR_RETURN(
      const criu_images::Mm mm,
      ReadOne<criu_images::Mm>(dir_fd_, absl::StrCat("mm-", pid, ".img"),
                               CriuMagic::kMm));
  result.exe = PathOf(mm.exe_file_id());
  uses_[mm.exe_file_id()].executable = true;
  for (const criu_images::Vma& vma : mm.vmas()) {
    result.mapped_bytes += vma.end() - vma.start();
    if (IsFileMapping(vma)) {
      uses_[static_cast<uint32_t>(vma.shmid())].mapped = true;
    }
  }
  CKPT_ASSIGN_OR_RETURN(
      const PageMap map,
      ReadPageMap(dir_fd_, absl::StrCat("pagemap-", pid, ".img")));
  result.dumped_bytes = map.present_pages * kPageBytes;
  return absl::OkStatus();
}

absl::Status ContentsReader::ReadFds(uint32_t pid, ImageProcess& result) {
  CKPT_ASSIGN_OR_RETURN(
      const criu_images::Ids ids,
      ReadOne<criu_images::Ids>(dir_fd_, absl::StrCat("ids-", pid, ".img"),
                                CriuMagic::kIds));
  CKPT_ASSIGN_OR_RETURN(
      const std::vector<criu_images::FdInfo> fds,
      ReadAll<criu_images::FdInfo>(
          dir_fd_, absl::StrCat("fdinfo-", ids.files_id(), ".img"),
          CriuMagic::kFdInfo, /*optional=*/false));
  for (const criu_images::FdInfo& fd : fds) {
    result.fds.push_back({static_cast<int>(fd.fd()), Describe(fd.id())});
    uses_[fd.id()].open = true;
    // A terminal and a named pipe have an entry of their own for the path.
    const criu_images::FileEntry* const file = File(fd.id());
    if (file == nullptr) continue;
    if (file->has_tty()) uses_[file->tty().regf_id()].open = true;
    if (file->has_fifo()) uses_[file->fifo().regf_id()].open = true;
  }
  std::sort(result.fds.begin(), result.fds.end(),
            [](const ImageFd& a, const ImageFd& b) { return a.fd < b.fd; });
  return absl::OkStatus();
}

absl::Status ContentsReader::ReadSharedMemory() {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_fd_, "."));
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, "pagemap-shmem-")) continue;
    CKPT_ASSIGN_OR_RETURN(const PageMap map, ReadPageMap(dir_fd_, name));
    contents_.memory_bytes += map.present_pages * kPageBytes;
  }
  return absl::OkStatus();
}

void ContentsReader::CollectFiles() {
  // A file that is open twice has two entries.  One that was deleted is another
  // than the one that has its name now.
  std::map<std::pair<std::string, bool>, ImageFile> by_path;
  for (const auto& [id, entry] : files_) {
    if (entry.type() != kFileRegular) continue;
    const criu_images::RegFile& reg = entry.reg();
    const bool deleted = deleted_.count(id) > 0;
    ImageFile& file = by_path[{reg.name(), deleted}];
    file.path = reg.name();
    file.deleted = deleted;
    if (reg.has_size()) file.size_bytes = reg.size();
    if (reg.has_mode()) file.mode = reg.mode();
    if (reg.build_id_size() > 0) file.build_id = BuildIdOf(reg);
    file.external = file.external || reg.ext();
    const Use use = uses_[id];
    file.open = file.open || use.open;
    file.mapped = file.mapped || use.mapped;
    file.executable = file.executable || use.executable;
    file.directory = file.directory || use.directory;
  }
  for (auto& [key, file] : by_path) contents_.files.push_back(std::move(file));
}

void ContentsReader::CollectSockets() {
  for (const auto& [id, entry] : files_) {
    if (SocketOf(entry).has_value()) contents_.sockets.push_back(Socket(entry));
  }
}

const criu_images::FileEntry* ContentsReader::File(uint32_t id) const {
  const auto found = files_.find(id);
  return found == files_.end() ? nullptr : &found->second;
}

std::string ContentsReader::PathOf(uint32_t id) const {
  const criu_images::FileEntry* const file = File(id);
  if (file == nullptr || file->type() != kFileRegular) return "";
  return absl::StrCat(file->reg().name(),
                      deleted_.count(id) > 0 ? " (deleted)" : "");
}

ImageSocket ContentsReader::Socket(const criu_images::FileEntry& entry) const {
  ImageSocket socket = *SocketOf(entry);
  const uint32_t peer = entry.usk().peer();
  if (peer != 0) {
    const auto name = unix_names_.find(peer);
    socket.remote = name == unix_names_.end() || name->second.empty()
                        ? absl::StrCat("socket:[", peer, "]")
                        : name->second;
  }
  return socket;
}

std::string ContentsReader::Describe(uint32_t id) const {
  const criu_images::FileEntry* const file = File(id);
  if (file == nullptr) return absl::StrCat("file ", id, ", not in files.img");
  if (SocketOf(*file).has_value()) return DescribeSocket(Socket(*file));
  std::string path = PathOf(id);
  if (path.empty() && file->has_tty()) path = PathOf(file->tty().regf_id());
  if (path.empty() && file->has_fifo()) path = PathOf(file->fifo().regf_id());
  if (!path.empty()) return path;
  if (file->has_memfd()) {
    const auto name = memfd_names_.find(file->memfd().inode_id());
    if (name != memfd_names_.end()) return absl::StrCat("memfd:", name->second);
  }
  return DescribeNameless(*file);
}

}  // namespace

absl::StatusOr<ImageContents> ReadContents(int dir_fd) {
  return ContentsReader(dir_fd).Read();
}

absl::StatusOr<std::string> ReadRunId(int dir_fd) {
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile file,
      CriuImageFile::Read(dir_fd, "inventory.img", CriuMagic::kInventory));
  CKPT_ASSIGN_OR_RETURN(const auto inventory,
                        file.ParseOne<criu_images::Inventory>());
  return inventory.dump_criu_run_id();
}

}  // namespace ckpt
