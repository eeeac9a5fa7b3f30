#include "freezer/write_watch.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "base/proc.h"
#include "base/status.h"
#include "freezer/backend.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {

std::string DescribeWriter(const GroupWrite& write) {
  if (write.pid == 0) return "a process outside this PID namespace";
  return absl::StrCat("process ", write.pid,
                      write.comm.empty() ? ", which has ended"
                                         : absl::StrCat(" (", write.comm, ")"));
}

absl::StatusOr<std::unique_ptr<WriteWatch>> WriteWatch::Start() {
  // Without limits: an event that does not fit would be lost.
  UniqueFd fd(::fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC |
                                  FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS,
                              O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoToStatus(errno, "fanotify_init");
  return absl::WrapUnique(new WriteWatch(std::move(fd)));
}

absl::Status WriteWatch::AddRequest(Cgroup& group) {
  return Add(group, MakeBackend(group)->request_file());
}

absl::Status WriteWatch::AddMembership(Cgroup& group) {
  CKPT_RETURN_IF_ERROR(Add(group, kProcsFile));
  return Add(group, group.hierarchy() == v1::HIERARCHY_V1 ? kV1TasksFile
                                                          : kV2ThreadsFile);
}

absl::Status WriteWatch::Add(Cgroup& group, const std::string& file) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd opened, group.OpenForRead(file));
  struct stat info;
  if (::fstat(opened.get(), &info) != 0) {
    return ErrnoToStatus(errno, "stat", file);
  }
  if (::fanotify_mark(fd_.get(), FAN_MARK_ADD, FAN_MODIFY, opened.get(),
                      nullptr) != 0) {
    return ErrnoToStatus(errno, "fanotify_mark",
                         absl::StrCat(group.path(), "/", file));
  }
  files_[{info.st_dev, info.st_ino}] = {group.path(), file};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GroupWrite>> WriteWatch::Take() {
  std::vector<GroupWrite> writes;
  alignas(fanotify_event_metadata) char buffer[4096];
  while (true) {
    ssize_t size = ::read(fd_.get(), buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    // The next event's file cannot be opened any more: its group is gone.
    if (size < 0 && (errno == ENODEV || errno == ENOENT)) continue;
    if (size < 0 && errno == EAGAIN) return writes;
    if (size < 0) return ErrnoToStatus(errno, "read fanotify events");
    auto* event = reinterpret_cast<fanotify_event_metadata*>(buffer);
    for (; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
      const UniqueFd file(event->fd);
      struct stat info;
      if (!file.ok() || ::fstat(file.get(), &info) != 0) continue;
      const auto found = files_.find({info.st_dev, info.st_ino});
      if (found == files_.end()) continue;
      GroupWrite write;
      write.pid = event->pid;
      write.group = found->second.group;
      write.file = found->second.name;
      if (const auto stat = ProcFs::Real().Stat(write.pid); stat.ok()) {
        write.comm = stat->comm;
        write.pgid = stat->pgid;
      }
      writes.push_back(std::move(write));
    }
  }
}

}  // namespace ckpt::freezer
