#include "freezer/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

void SortAndDropCopies(std::vector<pid_t>& pids) {
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
}

absl::StatusOr<std::vector<pid_t>> ParsePids(absl::string_view text) {
  std::vector<pid_t> pids;
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t pid;
    if (!absl::SimpleAtoi(line, &pid)) {
      return absl::InternalError(absl::StrCat("no pid: ", line));
    }
    // 0: a task outside our PID namespace.
    pids.push_back(pid);
  }
  SortAndDropCopies(pids);  // cgroup.procs may have some (cgroup-v2.rst)
  return pids;
}

absl::StatusOr<std::vector<pid_t>> ProcessesByThreads(Cgroup& group) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, group.Threads());
  std::vector<pid_t> pids;
  for (const pid_t tid : threads) {
    const auto stat = ProcFs::Real().Stat(tid);
    if (stat.ok()) pids.push_back(stat->pid);
  }
  SortAndDropCopies(pids);
  return pids;
}

class KernelCgroup : public Cgroup {
 public:
  KernelCgroup(UniqueFd dir, std::string path, v1::Hierarchy hierarchy,
               bool is_root)
      : dir_(std::move(dir)),
        path_(std::move(path)),
        hierarchy_(hierarchy),
        is_root_(is_root) {}

  v1::Hierarchy hierarchy() const override { return hierarchy_; }
  const std::string& path() const override { return path_; }
  bool is_root() const override { return is_root_; }

  uint64_t id() const override {
    struct stat info;
    return ::fstat(dir_.get(), &info) == 0 ? info.st_ino : 0;
  }

  absl::StatusOr<std::string> Read(const std::string& file) override {
    if (IsKeptOpen(file)) return ReadKeptOpen(file);
    auto text = ReadFileAt(dir_.get(), file);
    if (!text.ok()) return InThisGroup(text.status());
    return text;
  }

  absl::Status Write(const std::string& file, absl::string_view data) override {
    if (file == kV2FreezeFile || file == kV1StateFile) {
      return InThisGroup(WriteKeptOpen(file, data));
    }
    return InThisGroup(WriteKernelFileAt(dir_.get(), file, data));
  }

  absl::Status WaitForChange(absl::Duration limit,
                             const Cancellation* cancel) override {
    // poll() on cgroup.events reports POLLPRI once the file changed since it
    // was read last through the same descriptor.
    const auto events = kept_.find(kV2EventsFile);
    pollfd fds[2] = {
        {events == kept_.end() ? -1 : events->second.get(), POLLPRI, 0},
        {cancel == nullptr ? -1 : cancel->fd(), POLLIN, 0}};
    const timespec timeout = absl::ToTimespec(limit);
    (void)::ppoll(fds, 2, &timeout, nullptr);
    if (cancel != nullptr && cancel->cancelled()) {
      return absl::CancelledError(absl::StrCat("cancelled; cgroup ", path_));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Cgroup>> Parent() override {
    struct stat self;
    struct stat above;
    // In a container the mount begins at a group that has a freezer.
    if (is_root_ || ::fstat(dir_.get(), &self) != 0 ||
        ::fstatat(dir_.get(), "..", &above, 0) != 0 ||
        self.st_dev != above.st_dev) {
      return absl::FailedPreconditionError(absl::StrCat(
          path_, " is the root of its hierarchy, or of its mount"));
    }
    return OpenCgroup(path_.substr(0, path_.rfind('/')));
  }

  absl::StatusOr<std::vector<std::unique_ptr<Cgroup>>> Children() override {
    std::vector<std::unique_ptr<Cgroup>> children;
    struct stat self;
    // "." and the entry in the parent: no directory below links to it.
    if (::fstat(dir_.get(), &self) == 0 && self.st_nlink == 2 &&
        ::faccessat(dir_.get(), kProcsFile, F_OK, 0) == 0) {
      return children;
    }
    CKPT_ASSIGN_OR_RETURN(const auto names, ListDirectoryAt(dir_.get(), "."));
    for (const std::string& name : names) {
      struct stat info;
      if (::fstatat(dir_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) !=
              0 ||
          !S_ISDIR(info.st_mode)) {
        continue;
      }
      auto fd = OpenAt(dir_.get(), name, O_RDONLY | O_DIRECTORY);
      if (!fd.ok()) continue;  // removed meanwhile
      children.push_back(std::make_unique<KernelCgroup>(
          *std::move(fd), absl::StrCat(path_, "/", name), hierarchy_, false));
    }
    return children;
  }

  absl::StatusOr<UniqueFd> OpenForLock() override {
    // A new open file description: flock() locks belong to those.
    auto fd = OpenAt(dir_.get(), ".", O_RDONLY | O_DIRECTORY);
    if (!fd.ok()) return InThisGroup(fd.status());
    return fd;
  }

  absl::StatusOr<UniqueFd> Lock() override {
    CKPT_ASSIGN_OR_RETURN(UniqueFd fd, OpenForLock());
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
    if (errno != EWOULDBLOCK) return ErrnoToStatus(errno, "flock", path_);
    const pid_t holder = LockHolder();
    return absl::UnavailableError(absl::StrCat(
        "cgroup ", path_, " is in use by ",
        holder > 0
            ? absl::StrCat("process ", DescribeTask(ProcFs::Real(), holder))
            : "another ckpt",
        ", which holds its lock; try again when that is done"));
  }

  pid_t LockHolder() override {
    struct stat info;
    if (::fstat(dir_.get(), &info) != 0) return 0;
    const auto locks = ReadFile("/proc/locks");
    if (!locks.ok()) return 0;
    // "1: FLOCK  ADVISORY  WRITE PID MAJOR:MINOR:INODE 0 EOF", hex device.
    const std::string place = absl::StrCat(
        absl::Hex(major(info.st_dev), absl::kZeroPad2), ":",
        absl::Hex(minor(info.st_dev), absl::kZeroPad2), ":", info.st_ino);
    for (const absl::string_view line : absl::StrSplit(*locks, '\n')) {
      const std::vector<absl::string_view> fields =
          absl::StrSplit(line, ' ', absl::SkipEmpty());
      pid_t pid;
      if (fields.size() >= 6 && fields[1] == "FLOCK" && fields[5] == place &&
          absl::SimpleAtoi(fields[4], &pid)) {
        return pid;
      }
    }
    return 0;
  }

  absl::StatusOr<UniqueFd> OpenForWrite(const std::string& file) override {
    auto fd = OpenAt(dir_.get(), file, O_WRONLY);
    if (!fd.ok()) return InThisGroup(fd.status());
    return fd;
  }

  absl::StatusOr<UniqueFd> OpenForRead(const std::string& file) override {
    auto fd = OpenAt(dir_.get(), file, O_RDONLY);
    if (!fd.ok()) return InThisGroup(fd.status());
    return fd;
  }

 private:
  // Errors of the kernel name the file only; here comes the group.
  absl::Status InThisGroup(const absl::Status& status) const {
    if (status.ok()) return status;
    return WithMessage(status,
                       absl::StrCat("cgroup ", path_, ": ", status.message()));
  }

  // Files that a freeze reads again and again, and so keeps open; poll() on
  // cgroup.events needs the descriptor that read it.  Not v1's lists, which go
  // on giving what they gave first.
  bool IsKeptOpen(absl::string_view file) const {
    return file == kV2EventsFile || file == kV2FreezeFile ||
           file == kV1StateFile || file == kV1SelfFile || IsKeptList(file);
  }
  bool IsKeptList(absl::string_view file) const {
    return hierarchy_ == v1::HIERARCHY_V2 &&
           (file == kProcsFile || file == kV2ThreadsFile);
  }

  absl::StatusOr<int> KeepOpen(const std::string& file, int flags,
                               std::map<std::string, UniqueFd>& kept) {
    UniqueFd& fd = kept[file];
    if (!fd.ok()) {
      CKPT_ASSIGN_OR_RETURN(fd, OpenAt(dir_.get(), file, flags));
    }
    return fd.get();
  }

  absl::StatusOr<std::string> ReadKeptOpen(const std::string& file) {
    const auto fd = KeepOpen(file, O_RDONLY, kept_);
    if (!fd.ok()) return InThisGroup(fd.status());
    std::string text;
    ssize_t count;
    do {
      char part[4096];
      count = ::pread(*fd, part, sizeof(part), static_cast<off_t>(text.size()));
      if (count < 0) return InThisGroup(ErrnoToStatus(errno, "read", file));
      text.append(part, static_cast<size_t>(count));
      // The others are short, and come at once.
    } while (count > 0 && IsKeptList(file));
    return text;
  }

  absl::Status WriteKeptOpen(const std::string& file, absl::string_view data) {
    CKPT_ASSIGN_OR_RETURN(const int fd,
                          KeepOpen(file, O_WRONLY, kept_for_writing_));
    while (::pwrite(fd, data.data(), data.size(), 0) < 0) {
      if (errno == EINTR) continue;
      return ErrnoToStatus(errno, absl::StrCat("write '", data, "' to"), file);
    }
    return absl::OkStatus();
  }

  const UniqueFd dir_;
  const std::string path_;
  const v1::Hierarchy hierarchy_;
  const bool is_root_;
  std::map<std::string, UniqueFd> kept_;
  std::map<std::string, UniqueFd> kept_for_writing_;
};

}  // namespace

absl::StatusOr<std::vector<pid_t>> Cgroup::Processes() {
  const auto text = Read(kProcsFile);
  // EOPNOTSUPP: the processes of a group of threads are listed further up.
  if (absl::IsUnimplemented(text.status())) return ProcessesByThreads(*this);
  CKPT_RETURN_IF_ERROR(text.status());
  return ParsePids(*text);
}

absl::StatusOr<std::vector<pid_t>> Cgroup::Threads() {
  CKPT_ASSIGN_OR_RETURN(
      const std::string text,
      Read(hierarchy() == v1::HIERARCHY_V1 ? kV1TasksFile : kV2ThreadsFile));
  return ParsePids(text);
}

absl::Status Cgroup::AddProcess(pid_t pid) {
  return Write(kProcsFile, absl::StrCat(pid));
}

absl::StatusOr<UniqueFd> Cgroup::OpenProcsForWrite() {
  return OpenForWrite(kProcsFile);
}

absl::StatusOr<UniqueFd> Cgroup::OpenProcsForRead() {
  return OpenForRead(kProcsFile);
}

absl::StatusOr<std::vector<pid_t>> Cgroup::SubtreeProcesses() {
  CKPT_ASSIGN_OR_RETURN(std::vector<pid_t> pids, Processes());
  CKPT_ASSIGN_OR_RETURN(const auto children, Children());
  for (const auto& child : children) {
    auto below = child->SubtreeProcesses();
    if (absl::IsNotFound(below.status())) continue;  // removed meanwhile
    CKPT_RETURN_IF_ERROR(below.status());
    pids.insert(pids.end(), below->begin(), below->end());
  }
  // A process may have threads in several of them.
  SortAndDropCopies(pids);
  return pids;
}

absl::Status CheckMayTouch(Cgroup& group) {
  if (group.is_root()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cgroup ", group.path(),
        " is the root of its hierarchy, which is never touched; put the job "
        "into a group of its own (mkdir ",
        group.path(), "/job; echo PID > ", group.path(), "/job/", kProcsFile,
        "); nothing was touched"));
  }
  CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                        group.SubtreeProcesses());
  const pid_t self = ::getpid();
  if (std::find(pids.begin(), pids.end(), self) != pids.end()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cgroup ", group.path(), " holds ckpt itself (process ", self,
        "); start ckpt from another group; nothing was touched"));
  }
  return absl::OkStatus();
}

absl::StatusOr<HierarchyMounts> FindHierarchyMounts() {
  CKPT_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile("/proc/self/mountinfo"));
  HierarchyMounts mounts;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    // "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS ... - TYPE SOURCE SUPER"
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> left =
        absl::StrSplit(halves.first, ' ');
    const std::vector<absl::string_view> right =
        absl::StrSplit(halves.second, ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    // The first mount wins: later ones are copies of it elsewhere.
    if (right[0] == "cgroup2" && mounts.v2.empty()) {
      mounts.v2 = std::string(left[4]);
    } else if (right[0] == "cgroup" && mounts.v1_freezer.empty()) {
      for (const absl::string_view option : absl::StrSplit(right[2], ',')) {
        if (option == "freezer") mounts.v1_freezer = std::string(left[4]);
      }
    }
  }
  return mounts;
}

absl::StatusOr<std::unique_ptr<Cgroup>> OpenCgroup(const std::string& path) {
  auto fd = OpenDirectory(path);
  if (!fd.ok()) {
    if (absl::IsNotFound(fd.status())) {
      return absl::NotFoundError(
          absl::StrCat("cgroup ", path, " does not exist"));
    }
    return fd.status();
  }
  struct statfs filesystem;
  if (::fstatfs(fd->get(), &filesystem) != 0) {
    return ErrnoToStatus(errno, "statfs", path);
  }
  v1::Hierarchy hierarchy;
  absl::string_view freezer_file;
  if (filesystem.f_type == CGROUP2_SUPER_MAGIC) {
    hierarchy = v1::HIERARCHY_V2;
    freezer_file = kV2FreezeFile;
  } else if (filesystem.f_type == CGROUP_SUPER_MAGIC) {
    hierarchy = v1::HIERARCHY_V1;
    freezer_file = kV1StateFile;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a cgroup directory"));
  }
  // The root has no freezer file; a v1 directory may belong to a hierarchy
  // without the freezer controller, whose root we must not take for one.
  const bool has_freezer =
      ::faccessat(fd->get(), std::string(freezer_file).c_str(), F_OK, 0) == 0;
  bool is_root = false;
  if (!has_freezer) {
    // One that was removed meanwhile has no file at all.
    if (::faccessat(fd->get(), kProcsFile, F_OK, 0) != 0) {
      return absl::NotFoundError(
          absl::StrCat("cgroup ", path, " does not exist any more"));
    }
    CKPT_ASSIGN_OR_RETURN(const HierarchyMounts mounts, FindHierarchyMounts());
    is_root = path == mounts.v1_freezer || path == mounts.v2;
    if (!is_root) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, " belongs to a cgroup hierarchy without a freezer"));
    }
  }
  return std::make_unique<KernelCgroup>(*std::move(fd), path, hierarchy,
                                        is_root);
}

absl::Status RemoveCgroup(const std::string& path, absl::Duration limit,
                          const Cancellation* cancel) {
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + limit;
  // rmdir() is EBUSY until the last task has been reaped by the kernel; v2
  // tells when that is.
  std::unique_ptr<Cgroup> group;
  absl::Duration pause = absl::Microseconds(50);
  while (::rmdir(path.c_str()) != 0) {
    const int error = errno;
    if (error == ENOENT) return absl::OkStatus();
    const absl::Duration left = deadline - clock.Now();
    if (error != EBUSY || left <= absl::ZeroDuration()) {
      return ErrnoToStatus(error, "remove cgroup", path);
    }
    if (group == nullptr) {
      CKPT_ASSIGN_OR_RETURN(group, OpenCgroup(path));
    }
    if (group->hierarchy() == v1::HIERARCHY_V2) {
      (void)group->Read(kV2EventsFile);  // the event is a change since then
    }
    CKPT_RETURN_IF_ERROR(group->WaitForChange(std::min(pause, left), cancel));
    pause = std::min(2 * pause, absl::Milliseconds(10));
  }
  return absl::OkStatus();
}

absl::string_view HierarchyName(v1::Hierarchy hierarchy) {
  return hierarchy == v1::HIERARCHY_V1   ? "v1"
         : hierarchy == v1::HIERARCHY_V2 ? "v2"
                                         : "any";
}

}  // namespace ckpt::freezer
