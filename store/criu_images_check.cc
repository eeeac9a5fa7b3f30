// CheckComplete() of criu_images.h.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "store/criu_image_file.h"
#include "store/criu_images.h"
#include "store/criu_images.pb.h"
#include "store/criu_pagemap.h"
#include "store/criu_values.h"

namespace ckpt {
namespace {

// Thread-compatible; one use.
class CompletenessCheck {
 public:
  explicit CompletenessCheck(int dir_fd) : dir_fd_(dir_fd) {}

  absl::Status Run();

 private:
  absl::Status CheckProcess(const criu_images::Process& process);
  absl::Status CheckThread(uint32_t tid) const;
  absl::Status CheckMemory(uint32_t pid);
  absl::Status CheckFds(uint32_t files_id);
  absl::Status CheckMemFds();
  absl::Status CheckSysVMemory();
  absl::Status CheckGhosts() const;
  absl::Status CheckPages(const std::string& pagemap) const;
  absl::Status CheckShared(uint64_t shmid);
  absl::Status CheckKnown(uint32_t file_id, absl::string_view user) const;

  const int dir_fd_;
  std::set<uint32_t> files_;          // ids in files.img
  std::set<uint32_t> fd_tables_;      // checked
  std::set<uint64_t> shared_memory_;  // checked
};

absl::Status CompletenessCheck::Run() {
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile inventory,
      CriuImageFile::Read(dir_fd_, "inventory.img", CriuMagic::kInventory));
  CKPT_RETURN_IF_ERROR(inventory.ParseOne<criu_images::Inventory>().status());
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile files,
      CriuImageFile::Read(dir_fd_, "files.img", CriuMagic::kFiles));
  for (size_t i = 0; i < files.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::FileEntry entry,
                          files.Parse<criu_images::FileEntry>(i));
    if (!entry.has_id()) return CriuImageDamaged("files.img", "no file id");
    files_.insert(entry.id());
  }
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile tree,
      CriuImageFile::Read(dir_fd_, "pstree.img", CriuMagic::kPstree));
  if (tree.entry_count() == 0) {
    return CriuImageDamaged("pstree.img", "no process");
  }
  for (size_t i = 0; i < tree.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::Process process,
                          tree.Parse<criu_images::Process>(i));
    if (process.pid() == 0) return CriuImageDamaged("pstree.img", "no pid");
    CKPT_RETURN_IF_ERROR(CheckProcess(process));
  }
  CKPT_RETURN_IF_ERROR(CheckMemFds());
  CKPT_RETURN_IF_ERROR(CheckSysVMemory());
  return CheckGhosts();
}

absl::Status CompletenessCheck::CheckProcess(
    const criu_images::Process& process) {
  const uint32_t pid = process.pid();
  const std::string core_name = absl::StrCat("core-", pid, ".img");
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile core_file,
      CriuImageFile::Read(dir_fd_, core_name, CriuMagic::kCore));
  CKPT_ASSIGN_OR_RETURN(const criu_images::Core core,
                        core_file.ParseOne<criu_images::Core>());
  if (!core.tc().has_task_state()) {
    return CriuImageDamaged(core_name, "it says nothing of its task");
  }
  if (IsZombie(core.tc().task_state())) return absl::OkStatus();

  for (const uint32_t tid : process.threads()) {
    if (tid != pid) CKPT_RETURN_IF_ERROR(CheckThread(tid));
  }
  const std::string fs_name = absl::StrCat("fs-", pid, ".img");
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile fs_file,
                        CriuImageFile::Read(dir_fd_, fs_name, CriuMagic::kFs));
  CKPT_ASSIGN_OR_RETURN(const criu_images::Fs fs,
                        fs_file.ParseOne<criu_images::Fs>());
  CKPT_RETURN_IF_ERROR(CheckKnown(fs.cwd_id(), fs_name));
  CKPT_RETURN_IF_ERROR(CheckKnown(fs.root_id(), fs_name));

  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile ids_file,
      CriuImageFile::Read(dir_fd_, absl::StrCat("ids-", pid, ".img"),
                          CriuMagic::kIds));
  CKPT_ASSIGN_OR_RETURN(const criu_images::Ids ids,
                        ids_file.ParseOne<criu_images::Ids>());
  CKPT_RETURN_IF_ERROR(CheckFds(ids.files_id()));
  return CheckMemory(pid);
}

absl::Status CompletenessCheck::CheckThread(uint32_t tid) const {
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile file,
      CriuImageFile::Read(dir_fd_, absl::StrCat("core-", tid, ".img"),
                          CriuMagic::kCore));
  return file.ParseOne<criu_images::Core>().status();
}

absl::Status CompletenessCheck::CheckMemory(uint32_t pid) {
  const std::string name = absl::StrCat("mm-", pid, ".img");
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        CriuImageFile::Read(dir_fd_, name, CriuMagic::kMm));
  CKPT_ASSIGN_OR_RETURN(const criu_images::Mm mm,
                        file.ParseOne<criu_images::Mm>());
  CKPT_RETURN_IF_ERROR(CheckKnown(mm.exe_file_id(), name));
  for (const criu_images::Vma& vma : mm.vmas()) {
    if (IsFileMapping(vma)) {
      CKPT_RETURN_IF_ERROR(
          CheckKnown(static_cast<uint32_t>(vma.shmid()), name));
    } else if (IsSharedMemory(vma)) {
      CKPT_RETURN_IF_ERROR(CheckShared(vma.shmid()));
    }
  }
  return CheckPages(absl::StrCat("pagemap-", pid, ".img"));
}

absl::Status CompletenessCheck::CheckFds(uint32_t files_id) {
  if (!fd_tables_.insert(files_id).second) return absl::OkStatus();
  // CRIU restores a process without its descriptors, and calls that a success,
  // when this file is missing.
  const std::string name = absl::StrCat("fdinfo-", files_id, ".img");
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        CriuImageFile::Read(dir_fd_, name, CriuMagic::kFdInfo));
  for (size_t i = 0; i < file.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::FdInfo fd,
                          file.Parse<criu_images::FdInfo>(i));
    CKPT_RETURN_IF_ERROR(CheckKnown(fd.id(), name));
  }
  return absl::OkStatus();
}

absl::Status CompletenessCheck::CheckMemFds() {
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile file,
      CriuImageFile::ReadIfThere(dir_fd_, "memfd.img", CriuMagic::kMemFdInode));
  for (size_t i = 0; i < file.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::MemFdInode inode,
                          file.Parse<criu_images::MemFdInode>(i));
    if (inode.size() > 0) CKPT_RETURN_IF_ERROR(CheckShared(inode.shmid()));
  }
  return absl::OkStatus();
}

absl::Status CompletenessCheck::CheckSysVMemory() {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_fd_, "."));
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, "ipcns-shm-")) continue;
    CKPT_ASSIGN_OR_RETURN(
        const CriuImageFile file,
        CriuImageFile::Read(dir_fd_, name, CriuMagic::kIpcShm));
    for (size_t i = 0; i < file.entry_count(); ++i) {
      CKPT_ASSIGN_OR_RETURN(const criu_images::IpcShm segment,
                            file.Parse<criu_images::IpcShm>(i));
      CKPT_RETURN_IF_ERROR(CheckShared(segment.desc().id()));
    }
  }
  return absl::OkStatus();
}

absl::Status CompletenessCheck::CheckGhosts() const {
  CKPT_ASSIGN_OR_RETURN(const CriuImageFile file,
                        CriuImageFile::ReadIfThere(dir_fd_, "remap-fpath.img",
                                                   CriuMagic::kRemapPath));
  for (size_t i = 0; i < file.entry_count(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const criu_images::RemapPath remap,
                          file.Parse<criu_images::RemapPath>(i));
    if (remap.remap_type() != kRemapGhost) continue;
    const std::string name =
        absl::StrCat("ghost-file-", absl::Hex(remap.remap_id()), ".img");
    if (::faccessat(dir_fd_, name.c_str(), F_OK, 0) != 0) {
      return CriuImageDamaged(name, "missing");
    }
  }
  return absl::OkStatus();
}

absl::Status CompletenessCheck::CheckPages(const std::string& pagemap) const {
  CKPT_ASSIGN_OR_RETURN(const PageMap map, ReadPageMap(dir_fd_, pagemap));
  if (map.absent_pages > 0) {
    return CriuImageDamaged(
        pagemap, absl::StrCat(map.absent_pages, " pages are not in the image"));
  }
  const std::string name = PagesFileName(map.pages_id);
  struct stat about {};
  if (::fstatat(dir_fd_, name.c_str(), &about, 0) != 0) {
    if (errno == ENOENT) return CriuImageDamaged(name, "missing");
    return ErrnoToStatus(errno, "stat", name);
  }
  const uint64_t needed = map.present_pages * kPageBytes;
  if (static_cast<uint64_t>(about.st_size) != needed) {
    return CriuImageDamaged(
        name, absl::StrCat("size ", about.st_size, " instead of ", needed,
                           ", for the pages that ", pagemap, " lists"));
  }
  return absl::OkStatus();
}

absl::Status CompletenessCheck::CheckShared(uint64_t shmid) {
  if (!shared_memory_.insert(shmid).second) return absl::OkStatus();
  return CheckPages(absl::StrCat("pagemap-shmem-", shmid, ".img"));
}

absl::Status CompletenessCheck::CheckKnown(uint32_t file_id,
                                           absl::string_view user) const {
  if (files_.count(file_id) > 0) return absl::OkStatus();
  return CriuImageDamaged(user,
                          absl::StrCat("it uses file ", file_id,
                                       ", which files.img does not have"));
}

}  // namespace

absl::Status CheckComplete(int dir_fd) {
  return CompletenessCheck(dir_fd).Run();
}

}  // namespace ckpt
