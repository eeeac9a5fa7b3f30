// System calls to be made later by a forked process, on memory prepared before
// the fork: safe in a child of a process with threads.
//
//   PreparedSteps steps;
//   steps.AddWrite(freeze_fd, "0");
//   steps.AddUnlink(journal_fd, "v2-77");
//   if (::fork() == 0) { steps.CarryOut(); ::_exit(0); }
//
// Each failure is ignored: the next step is still tried.  Descriptors must be
// open when the steps are carried out.  Thread-compatible.
#ifndef CKPT_BASE_PREPARED_STEPS_H_
#define CKPT_BASE_PREPARED_STEPS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ckpt {

class PreparedSteps {
 public:
  // Steps, in order.
  //
  // Writes `data` with one write().
  void AddWrite(int fd, absl::string_view data);
  // Makes every further write of `pid` to a file fail with EFBIG: a process
  // that ignores SIGXFSZ then ends by its own error handling.
  void AddLimitFileSize(pid_t pid);
  // Waits until the process of `pidfd` has ended, at most `limit`.
  void AddWaitExit(int pidfd, absl::Duration limit);
  // SIGKILL; nothing happens if it has ended.
  void AddKill(int pidfd);
  // SIGKILL to every process of a process group.
  void AddKillProcessGroup(pid_t pgid);
  // SIGKILL to every process that the cgroup.procs file `procs_fd` (open for
  // reading) lists, again and again until it lists none, at most `limit`.
  void AddKillListed(int procs_fd, absl::Duration limit);
  // setsockopt() of a number.
  void AddSocketOption(int fd, int level, int name, int value);
  // A descriptor that is kept open until then.
  void AddClose(int fd);
  // A file of the directory `dir_fd`: removed, or given another name.
  void AddUnlink(int dir_fd, absl::string_view name);
  void AddRename(int dir_fd, absl::string_view from, absl::string_view to);

  // Asks, when its turn comes, whether the directory `dir_fd` has a file
  // `name`: then `then`, otherwise `otherwise` is carried out.  They live as
  // long as this.
  struct Branch {
    PreparedSteps& then;
    PreparedSteps& otherwise;
  };
  Branch AddIfExists(int dir_fd, absl::string_view name);

  // Async-signal-safe.
  void CarryOut() const;

  // Adds the descriptors that the steps need.
  void AppendDescriptors(std::vector<int>& fds) const;

 private:
  enum class Kind {
    kWrite,
    kLimitFileSize,
    kWaitExit,
    kKill,
    kKillProcessGroup,
    kKillListed,
    kSocketOption,
    kClose,
    kUnlink,
    kRename,
    kIfExists
  };
  struct Step {
    Kind kind;
    int number;  // descriptor or pid
    std::string data;
    std::string target;
    int limit_ms;
    int level = 0, name = 0, value = 0;  // of kSocketOption alone
    // Of kIfExists alone.
    std::shared_ptr<PreparedSteps> then = nullptr, otherwise = nullptr;
  };

  void Add(Kind kind, int number, absl::string_view data = "",
           absl::string_view target = "", absl::Duration limit = {});
  static void CarryOutOne(const Step& step);
  static bool KillListed(const Step& step);

  std::vector<Step> steps_;
};

// Sorted, each once: as CloseOthers() wants them.
std::vector<int> SortedDescriptors(std::vector<int> fds);

// Closes every descriptor but `sorted`.  Async-signal-safe.
void CloseOthers(const std::vector<int>& sorted);

}  // namespace ckpt

#endif  // CKPT_BASE_PREPARED_STEPS_H_
