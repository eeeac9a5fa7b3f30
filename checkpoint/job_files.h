// What a process has open, as far as /proc's texts do not tell: a seam over
// stat(), kcmp() and sockets.
//
// Sockets are asked by a duplicate of the descriptor (pidfd_getfd(2)), which is
// closed at once: that costs nothing that grows with the number of sockets of
// the machine, and works in any network namespace.
#ifndef CKPT_CHECKPOINT_JOB_FILES_H_
#define CKPT_CHECKPOINT_JOB_FILES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ckpt::checkpoint {

struct FileFacts {
  mode_t mode = 0;   // 0: not known
  dev_t device = 0;  // of a device file
  uint64_t links = 0;
  uint64_t size_bytes = 0;
  uint64_t used_bytes = 0;  // on the disk: holes are not counted
};

struct SocketFacts {
  int family = 0;
  int type = 0;
  int protocol = 0;
  bool bound = false;
  bool listening = false;
  // TCP: has a peer, or had one; its state is as in tcp(7)'s TCP_INFO.
  int tcp_state = 0;
  bool was_connected = false;
  uint32_t not_accepted = 0;  // connections that wait in a listening socket
  bool corked = false;        // UDP: holds back a datagram
  bool has_unread = false;    // netlink alone
  std::string address;        // of inet sockets: "127.0.0.1"
  uint16_t port = 0;
  uint64_t inode = 0;
  // Of a unix socket: the inode of the one that it is connected to; 0: none,
  // or one that was not accepted yet.
  uint64_t peer_inode = 0;
  bool connected = false;
  std::string name;       // of a unix socket: path or "@abstract"
  std::string peer_name;  // ""
};

// Thread-safe.  Codes of all: NotFound when process or descriptor is gone,
// PermissionDenied.
class JobFiles {
 public:
  virtual ~JobFiles() = default;

  virtual absl::StatusOr<FileFacts> Stat(pid_t pid, int fd) = 0;
  // `range` is "7f0000000000-7f0000001000", as in /proc/PID/maps.
  virtual absl::StatusOr<FileFacts> StatMapping(pid_t pid,
                                                const std::string& range) = 0;
  virtual absl::StatusOr<SocketFacts> Socket(pid_t pid, int fd) = 0;
  // Whether thread `tid` has the descriptors of its process.
  virtual bool SharesFiles(pid_t pid, pid_t tid) = 0;
  // A link of /proc/PID/NAME: "exe", "cwd", "ns/net", "task/12/ns/net".
  virtual absl::StatusOr<std::string> Link(pid_t pid,
                                           const std::string& name) = 0;

  // Never destroyed.
  static JobFiles& Real();
};

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_JOB_FILES_H_
