#include "freezer/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/host.h"
#include "base/proc.h"
#include "base/status.h"

namespace ckpt::freezer {
namespace {

// Begins the name of an entry that is being written.
constexpr char kPreparedPrefix[] = ".new-";
// A Recover() of another process may take a file that is not locked yet for
// a leftover.
constexpr int kTries = 10;

struct flock WholeFile() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool TryLock(int fd) {
  struct flock lock = WholeFile();
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

// Whether somebody else owns it; asking does not disturb others who ask.
bool IsLocked(int fd) {
  struct flock lock = WholeFile();
  return ::fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

bool IsNamed(int fd) {
  struct stat info;
  return ::fstat(fd, &info) == 0 && info.st_nlink > 0;
}

// Whatever else somebody has put there is no entry, and must not be waited for.
absl::StatusOr<UniqueFd> OpenEntry(int dir_fd, const std::string& name,
                                   int flags) {
  CKPT_ASSIGN_OR_RETURN(UniqueFd fd, OpenAt(dir_fd, name, flags | O_NONBLOCK));
  struct stat info;
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat(name, " is no file"));
  }
  return fd;
}

std::string MakeName(Journal::Kind kind, v1::Hierarchy hierarchy,
                     uint64_t inode) {
  return absl::StrCat(HierarchyName(hierarchy), "-", inode,
                      kind == Journal::Kind::kLease ? ".lease" : "");
}

absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "make directory", path);
}

}  // namespace

absl::Status JournalFile::Publish(const std::string& name) {
  if (::renameat(dir_.get(), name_.c_str(), dir_.get(), name.c_str()) != 0) {
    return ErrnoToStatus(errno, "rename a journal entry to", name);
  }
  name_ = name;
  return absl::OkStatus();
}

void JournalFile::Remove() {
  if (!file_.ok()) return;
  // Others do not touch it while we own it, but for who replaced it by rename.
  struct stat ours, named;
  if (::fstat(file_.get(), &ours) == 0 &&
      ::fstatat(dir_.get(), name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
      ours.st_ino == named.st_ino) {
    ::unlinkat(dir_.get(), name_.c_str(), 0);
  }
  file_.Reset();
}

Journal& Journal::Default() {
  static Journal& journal = *new Journal(RunDirectory() + "/journal");
  return journal;
}

absl::StatusOr<UniqueFd> Journal::OpenOrMake() const {
  auto dir = OpenDirectory(directory_);
  if (!absl::IsNotFound(dir.status())) return dir;
  CKPT_RETURN_IF_ERROR(
      MakeDirectory(directory_.substr(0, directory_.rfind('/')), 0755));
  CKPT_RETURN_IF_ERROR(MakeDirectory(directory_, 0700));
  return OpenDirectory(directory_);
}

std::string Journal::FileName(Kind kind, const v1::JournalEntry& entry) {
  return MakeName(kind, entry.hierarchy(), entry.inode());
}

std::string Journal::FileName(Kind kind, const Cgroup& group) {
  return MakeName(kind, group.hierarchy(), group.id());
}

void Journal::Erase(Kind kind, const Cgroup& group) const {
  ::unlink(absl::StrCat(directory_, "/", FileName(kind, group)).c_str());
}

absl::StatusOr<std::unique_ptr<JournalFile>> Journal::Prepare(
    const v1::JournalEntry& entry) const {
  static std::atomic<int> counter{0};
  CKPT_ASSIGN_OR_RETURN(UniqueFd dir, OpenOrMake());
  for (int i = 0; i < kTries; ++i) {
    const std::string name =
        absl::StrCat(kPreparedPrefix, ::getpid(), "-", ++counter);
    auto file = OpenAt(dir.get(), name, O_RDWR | O_CREAT | O_EXCL);
    if (absl::IsAlreadyExists(file.status())) continue;
    CKPT_RETURN_IF_ERROR(file.status());
    if (!TryLock(file->get()) || !IsNamed(file->get())) continue;
    auto prepared = std::make_unique<JournalFile>(std::move(dir), name,
                                                  *std::move(file), entry);
    CKPT_RETURN_IF_ERROR(
        WriteAll(prepared->fd(), entry.SerializeAsString(), name));
    return prepared;
  }
  return absl::InternalError(
      absl::StrCat("no new file can be made in ", directory_));
}

absl::StatusOr<std::unique_ptr<JournalFile>> Journal::Write(
    Kind kind, const v1::JournalEntry& entry) const {
  CKPT_ASSIGN_OR_RETURN(auto file, Prepare(entry));
  CKPT_RETURN_IF_ERROR(file->Publish(FileName(kind, entry)));
  return file;
}

absl::optional<v1::JournalEntry> Journal::Find(Kind kind,
                                               const Cgroup& group) const {
  const std::string path = absl::StrCat(directory_, "/", FileName(kind, group));
  const auto fd = OpenEntry(AT_FDCWD, path, O_RDONLY);
  if (!fd.ok()) return absl::nullopt;
  const auto text =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/self/fd/", fd->get()));
  v1::JournalEntry entry;
  if (!text.ok() || !entry.ParseFromString(*text) || !IsValid(entry)) {
    return absl::nullopt;
  }
  entry.mutable_hold()->set_abandoned(!IsLocked(fd->get()));
  if (!IsNamed(fd->get())) return absl::nullopt;
  return entry;
}

absl::StatusOr<std::vector<Journal::Item>> Journal::List() const {
  std::vector<Item> items;
  const auto names = ListDirectory(directory_);
  if (absl::IsNotFound(names.status())) return items;
  CKPT_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    Item item{.name = name, .parsed = false, .entry = {}};
    const auto fd =
        OpenEntry(AT_FDCWD, absl::StrCat(directory_, "/", name), O_RDONLY);
    if (!fd.ok()) continue;  // removed meanwhile
    const auto text = ReadFile(absl::StrCat("/proc/self/fd/", fd->get()));
    // One that was never published holds nothing.
    item.parsed = !absl::StartsWith(name, kPreparedPrefix) && text.ok() &&
                  item.entry.ParseFromString(*text) &&
                  item.entry.format_version() > 0;
    item.entry.mutable_hold()->set_abandoned(!IsLocked(fd->get()));
    if (IsNamed(fd->get())) items.push_back(std::move(item));
  }
  return items;
}

absl::StatusOr<std::unique_ptr<JournalFile>> Journal::TakeOver(
    const std::string& name) const {
  CKPT_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory(directory_));
  CKPT_ASSIGN_OR_RETURN(UniqueFd file, OpenEntry(dir.get(), name, O_RDWR));
  if (!TryLock(file.get())) {
    return absl::UnavailableError(
        absl::StrCat(directory_, "/", name, " has an owner"));
  }
  if (!IsNamed(file.get())) {
    return absl::NotFoundError(
        absl::StrCat(directory_, "/", name, " was removed"));
  }
  v1::JournalEntry entry;
  const auto text = ReadFile(absl::StrCat("/proc/self/fd/", file.get()));
  if (text.ok()) (void)entry.ParseFromString(*text);
  return std::make_unique<JournalFile>(std::move(dir), name, std::move(file),
                                       std::move(entry));
}

v1::JournalEntry MakeJournalEntry(const Cgroup& group, v1::HoldPurpose purpose,
                                  bool give_back_frozen,
                                  const std::string& ended_if_exists) {
  v1::JournalEntry entry;
  entry.set_format_version(ended_if_exists.empty() ? 1 : kJournalVersion);
  entry.set_ended_if_exists(ended_if_exists);
  entry.set_cgroup(group.path());
  entry.set_hierarchy(group.hierarchy());
  entry.set_inode(group.id());
  entry.set_boot_id(BootId());
  entry.set_origin_frozen(give_back_frozen);
  v1::Hold& hold = *entry.mutable_hold();
  hold.set_purpose(purpose);
  hold.set_pid(::getpid());
  const auto stat = ProcFs::Real().Stat(::getpid());
  if (stat.ok()) hold.set_comm(stat->comm);
  hold.set_since_unix_ns(absl::GetCurrentTimeNanos());
  return entry;
}

bool IsValid(const v1::JournalEntry& entry) {
  return entry.format_version() > 0 &&
         entry.format_version() <= kJournalVersion &&
         entry.boot_id() == BootId();
}

}  // namespace ckpt::freezer
