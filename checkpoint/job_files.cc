#include "checkpoint/job_files.h"

#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "checkpoint/socket_facts.h"

namespace ckpt::checkpoint {
namespace {

constexpr uint64_t kStatBlock = 512;  // st_blocks of stat(2)

absl::StatusOr<FileFacts> StatPath(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, path);
  FileFacts facts;
  facts.mode = info.st_mode;
  facts.device = info.st_rdev;
  facts.links = info.st_nlink;
  facts.size_bytes = static_cast<uint64_t>(info.st_size);
  facts.used_bytes = static_cast<uint64_t>(info.st_blocks) * kStatBlock;
  return facts;
}

class RealJobFiles : public JobFiles {
 public:
  absl::StatusOr<FileFacts> Stat(pid_t pid, int fd) override {
    return StatPath(absl::StrCat("/proc/", pid, "/fd/", fd));
  }

  absl::StatusOr<FileFacts> StatMapping(pid_t pid,
                                        const std::string& range) override {
    return StatPath(absl::StrCat("/proc/", pid, "/map_files/", range));
  }

  absl::StatusOr<SocketFacts> Socket(pid_t pid, int fd) override {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process.ok()) return ErrnoToStatus(errno, "pidfd_open");
    const UniqueFd copy(
        static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
    if (!copy.ok()) return ErrnoToStatus(errno, "pidfd_getfd");
    return ReadSocketFacts(copy.get(), pid);
  }

  bool SharesFiles(pid_t pid, pid_t tid) override {
    return ::syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) <= 0;
  }

  absl::StatusOr<std::string> Link(pid_t pid,
                                   const std::string& name) override {
    return ReadLink(absl::StrCat("/proc/", pid, "/", name));
  }
};

}  // namespace

JobFiles& JobFiles::Real() {
  static RealJobFiles& files = *new RealJobFiles;
  return files;
}

}  // namespace ckpt::checkpoint
