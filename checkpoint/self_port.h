// Where jobs ask for their checkpoints: a unix socket (proto/self_request.h).
//
//   CKPT_ASSIGN_OR_RETURN(auto port, SelfPort::Listen("/run/ckpt/self.sock"));
//   ... when port->fd() is readable ...
//   while (const auto call = port->Receive()) ...
//
// Caveats: a job repeats its request until it is answered, so the same one may
// come several times (Mailbox tells which is still waited for).  Who may ask
// for what is for the caller to judge: `pid`, `pidfd` and `uid` are the
// kernel's word, all else is the job's.
#ifndef CKPT_CHECKPOINT_SELF_PORT_H_
#define CKPT_CHECKPOINT_SELF_PORT_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "checkpoint/mailbox.h"

namespace ckpt::checkpoint {

// Movable.
struct SelfCall {
  MailboxAddress asker;  // its pid in our PID namespace
  UniqueFd pidfd;        // of the very process that has sent it
  uid_t uid = 0;
  gid_t gid = 0;
  bool tree = false;
  bool group = false;
  bool exit = false;
  bool early = false;
  absl::Duration timeout;
  uint32_t keep = 0;
  std::string image, store, cgroup;  // "": not given
  std::vector<std::string> arguments;

  // Whether it has not ended: then nobody else had its pid since it has asked.
  bool CallerRuns() const;
};

// Not thread-safe.
class SelfPort {
 public:
  // Makes the socket, by default for root only, with its directory.
  // AlreadyExists: somebody listens there.  A socket that nobody listens at any
  // more is replaced.
  static absl::StatusOr<std::unique_ptr<SelfPort>> Listen(
      const std::string& path, mode_t mode = 0600);
  ~SelfPort();  // removes it
  SelfPort(const SelfPort&) = delete;
  SelfPort& operator=(const SelfPort&) = delete;

  // Readable when there is a call.
  int fd() const { return socket_.get(); }
  const std::string& path() const { return path_; }

  // The next one, without waiting.  What is no call is passed over, and so is
  // one that comes with descriptors.
  std::optional<SelfCall> Receive();

 private:
  SelfPort(std::string path, UniqueFd socket, bool names_processes)
      : path_(std::move(path)),
        socket_(std::move(socket)),
        names_processes_(names_processes) {}

  const std::string path_;
  const UniqueFd socket_;
  // Since Linux 6.5.  Before, a process that ends between its message and our
  // look at it may be taken for the next one with its number.
  const bool names_processes_;
};

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_SELF_PORT_H_
