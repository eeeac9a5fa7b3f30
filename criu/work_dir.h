// The directory in which a CRIU process writes its log and figures: one for
// each operation, below /var/log/ckpt (or the system's temporary directory
// where that cannot be written).
//
//   CKPT_ASSIGN_OR_RETURN(auto work, WorkDir::Create("dump", "job7"));
//   ...                       // CRIU writes criu.log
//   return work->KeepFor(error);  // the log stays for a person
//
// Dropped without KeepFor() or Pin() it is removed.  Old kept ones are removed
// when there are more than kKeptLogs, pinned ones after kPinnedDays.
//
// Not thread-safe.
#ifndef CKPT_CRIU_WORK_DIR_H_
#define CKPT_CRIU_WORK_DIR_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ckpt::criu {

inline constexpr char kLogName[] = "criu.log";
inline constexpr size_t kKeptLogs = 32;
inline constexpr int kPinnedDays = 30;

class WorkDir {
 public:
  // Errors of the file system.  `name` is part of the directory's name.
  static absl::StatusOr<std::unique_ptr<WorkDir>> Create(
      const std::string& operation, const std::string& name);
  ~WorkDir();
  WorkDir(const WorkDir&) = delete;
  WorkDir& operator=(const WorkDir&) = delete;

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  // After a failure: keeps the log, if CRIU wrote one, and says so at the end
  // of the message.
  absl::Status KeepFor(const absl::Status& why);

  // From now on it stays until RemoveLog(), whatever becomes of this process.
  // Errors of the file system.
  absl::Status Pin();
  // It is as before.
  void Unpin();

 private:
  WorkDir(std::string path, UniqueFd fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}

  const std::string path_;
  const UniqueFd fd_;
  bool keep_ = false;
  bool pinned_ = false;
};

// Removes the directory of a log that was pinned; nothing else.
void RemoveLog(const std::string& log);

}  // namespace ckpt::criu

#endif  // CKPT_CRIU_WORK_DIR_H_
