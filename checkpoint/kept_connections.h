// The TCP connections of a job that CRIU has dumped with --tcp-established and
// still holds: their sockets are in repair mode, in which they neither send nor
// answer, and a table of nftables drops their packets (criu/network_lock.h).
//
//   CKPT_ASSIGN_OR_RETURN(auto kept, KeptConnections::Open(pids, dir_fd));
//   record = kept->lock();
//   kept->AddGoOn(steps_of_a_guardian);
//   ... CRIU was killed, and the job is to go on ...
//   CKPT_RETURN_IF_ERROR(kept->GoOn());
//
// It holds descriptors of the sockets.  Not thread-safe.
#ifndef CKPT_CHECKPOINT_KEPT_CONNECTIONS_H_
#define CKPT_CHECKPOINT_KEPT_CONNECTIONS_H_

#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/prepared_steps.h"
#include "base/unique_fd.h"
#include "proto/migration.pb.h"

namespace ckpt::checkpoint {

class KeptConnections {
 public:
  // Of the processes `pids`; `image_dir_fd` is their image, which tells of the
  // table, or -1.  The errors of pidfd_getfd(); Internal when nftables does not
  // answer.
  static absl::StatusOr<std::unique_ptr<KeptConnections>> Open(
      const std::vector<pid_t>& pids, int image_dir_fd = -1);

  // Without a table: nothing is locked.
  const v1::NetworkLock& lock() const { return lock_; }

  // Lets the connections go on here, if CRIU has not done so.  Before the job
  // runs: what it asks of them meanwhile fails.
  absl::Status GoOn() const;
  // The same for a guardian.  Open until it is armed.
  void AddGoOn(PreparedSteps& steps) const;

 private:
  KeptConnections() = default;
  // But those that are `seen`: "socket:[7]".
  absl::Status TakeSocketsOf(pid_t pid, std::set<std::string>& seen);
  absl::Status FindLock(int image_dir_fd);

  std::vector<UniqueFd> sockets_;
  UniqueFd netfilter_;  // if there is a table
  v1::NetworkLock lock_;
};

// Whether a lock may go: none of its connections is this node's to answer for.
// That is so where the local address is not this node's (any more), or is a
// loopback address, whose other end has left, too.  `back`: also if any of the
// connections has a socket here, as the job that has them all is back.
// Anything doubtful is "no".
bool MayUnlock(const v1::NetworkLock& lock, bool back);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_KEPT_CONNECTIONS_H_
