// Who writes to the files that freeze a cgroup, or that move tasks into it.
//
//   CKPT_ASSIGN_OR_RETURN(auto watch, WriteWatch::Start());
//   CKPT_RETURN_IF_ERROR(watch->AddRequest(*group));
//   ... later, or when watch->fd() is readable ...
//   CKPT_ASSIGN_OR_RETURN(auto writes, watch->Take());
//   for (const GroupWrite& write : writes) ... write.pid ...
//
// By fanotify(7): the kernel notes every write(2) to a watched file, whoever
// makes it, and however the file was opened, also before the watch.  None is
// missed; several by one process between two calls of Take() may be one.
//
// A cgroup namespace has files of its own for the same groups: what is written
// through those is not seen here.  (Nor would events of cgroup.events do: the
// kernel holds them back for up to 10 ms, so that a thaw and a freeze in
// between are one event, or none.)
//
// Not thread-safe.
#ifndef CKPT_FREEZER_WRITE_WATCH_H_
#define CKPT_FREEZER_WRITE_WATCH_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"

namespace ckpt::freezer {

struct GroupWrite {
  pid_t pid = 0;      // 0: of a PID namespace that we cannot see
  std::string comm;   // "" when it has ended meanwhile
  pid_t pgid = 0;     // its process group; 0 when it has ended meanwhile
  std::string group;  // path of the group
  std::string file;   // "cgroup.freeze"
};

// "process 12 (sh)", or what else can be said.
std::string DescribeWriter(const GroupWrite& write);

class WriteWatch {
 public:
  // PermissionDenied without CAP_SYS_ADMIN; Unimplemented without fanotify.
  static absl::StatusOr<std::unique_ptr<WriteWatch>> Start();

  // The file with the group's own request.
  absl::Status AddRequest(Cgroup& group);
  // The files that move processes and threads into the group.
  absl::Status AddMembership(Cgroup& group);

  // Readable when there is something to take.
  int fd() const { return fd_.get(); }
  // Ends the watch once it is closed, which takes the kernel 8 to 20 ms.
  UniqueFd TakeDescriptor() && { return std::move(fd_); }

  // What was written since the last call, oldest first; not to groups that
  // have been removed since.
  absl::StatusOr<std::vector<GroupWrite>> Take();

 private:
  struct File {
    std::string group;
    std::string name;
  };

  explicit WriteWatch(UniqueFd fd) : fd_(std::move(fd)) {}

  absl::Status Add(Cgroup& group, const std::string& file);

  UniqueFd fd_;
  std::map<std::pair<dev_t, ino_t>, File> files_;
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_WRITE_WATCH_H_
