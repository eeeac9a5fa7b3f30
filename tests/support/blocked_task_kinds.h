// The two implementations of BlockedTask.
#ifndef CKPT_TESTS_SUPPORT_BLOCKED_TASK_KINDS_H_
#define CKPT_TESTS_SUPPORT_BLOCKED_TASK_KINDS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "tests/support/blocked_task.h"

namespace ckpt {

// The task registers a page with a userfaultfd, sends us the descriptor, and
// has the kernel read the page: write(pipe, page).
class PageFaultTask : public BlockedTask {
 public:
  static absl::StatusOr<std::unique_ptr<BlockedTask>> Start(
      const std::vector<const TestCgroup*>& cgroups);

  absl::Status Unblock() override;

 private:
  UniqueFd uffd_;
  uint64_t page_ = 0;  // address in the task
};

// We are the FUSE server of a file system that is a single file and is mounted
// nowhere; the task reads the file.  Its request stays in our queue unread: a
// request that a server has taken makes the reader unkillable.
class FuseReadTask : public BlockedTask {
 public:
  static absl::StatusOr<std::unique_ptr<BlockedTask>> Start(
      const std::vector<const TestCgroup*>& cgroups);

  absl::Status Unblock() override;

 private:
  // Answers requests until the one for the contents comes.
  absl::Status ServeUntilRead();

  UniqueFd fuse_;  // closing it aborts the connection, and so ends the read
};

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_BLOCKED_TASK_KINDS_H_
