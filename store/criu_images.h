// What CRIU wrote, decoded: who and what is in an image, whether it is whole,
// and the repair of one thing that CRIU gets wrong.
//
//   CKPT_RETURN_IF_ERROR(CheckComplete(pending->dir_fd()));
//   CKPT_ASSIGN_OR_RETURN(const int timers,
//                         FixPeriodicTimerfds(pending->dir_fd()));
//
//   CKPT_ASSIGN_OR_RETURN(const ImageContents contents,
//                         ReadContents(image.dir_fd()));
//   for (const ImageProcess& process : contents.processes) ...
//
// All functions take a descriptor of the image's directory, work on a pending
// image as well as on a published one, and are thread-safe. FixPeriodicTimerfds
// changes a file: call it before Seal().
#ifndef CKPT_STORE_CRIU_IMAGES_H_
#define CKPT_STORE_CRIU_IMAGES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"

namespace ckpt {

enum class ImageTaskState {
  kUnknown,
  kRunning,
  kStopped,  // by a job-control signal
  kZombie,
};

// An open file descriptor.
struct ImageFd {
  int fd = 0;
  std::string description;  // "/var/log/x", "tcp 0.0.0.0:80 LISTEN", "pipe:[7]"
};

struct ImageProcess {
  pid_t pid = 0;
  pid_t ppid = 0;
  pid_t pgid = 0;
  pid_t sid = 0;
  std::vector<pid_t> threads;  // all, the main one first
  std::string comm;
  ImageTaskState state = ImageTaskState::kUnknown;
  // The rest is empty for a zombie.
  std::string exe;
  std::string cwd;
  std::string root;
  uint64_t mapped_bytes = 0;  // address space
  uint64_t dumped_bytes = 0;  // private pages in the image
  std::vector<ImageFd> fds;
};

// A file, directory or device that the job has by path.
struct ImageFile {
  std::string path;
  absl::optional<uint64_t> size_bytes;  // CRIU insists on it; files only
  absl::optional<uint32_t> mode;        // st_mode; CRIU insists on it
  std::string build_id;                 // hex, of ELF files; or ""
  bool open = false;                    // by a descriptor
  bool mapped = false;                  // into memory
  bool executable = false;              // the program of a process
  bool directory = false;               // working or root directory
  bool deleted = false;   // had no name any more: CRIU brings it back itself
  bool external = false;  // given from outside (--external)
};

struct ImageSocket {
  std::string protocol;  // tcp, tcp6, udp, udp6, unix, netlink, packet, ...
  std::string local;     // "0.0.0.0:80", "[::]:80", "/run/x", "@abstract"
  std::string remote;    // "" when not connected
  std::string state;     // ESTABLISHED, LISTEN, ...
};

struct ImageContents {
  std::vector<ImageProcess> processes;  // each before its children
  std::vector<ImageFile> files;         // by path
  std::vector<ImageSocket> sockets;
  int threads = 0;
  uint64_t memory_bytes = 0;  // pages in the image, shared memory included

  // The root is process 1: then its PID namespace is in the image too, and the
  // pids are those in there, which nobody outside can have taken.
  bool HasOwnPidNamespace() const {
    return !processes.empty() && processes.front().pid == 1;
  }
};

// Decodes an image.  DataLoss: a file is missing or damaged; names it.
absl::StatusOr<ImageContents> ReadContents(int dir_fd);

// What the CRIU that wrote the image called itself; "" for one that did not.
// DataLoss: a file is missing or damaged; names it.
absl::StatusOr<std::string> ReadRunId(int dir_fd);

// OK if the image is whole as far as that can be known without digests: all the
// files that the process tree needs are there, well-formed to their ends, and
// every page that a page map promises is there.  CRIU's success is no proof of
// that.  Looks at sizes of pages, never at pages: about a millisecond.
// DataLoss: names the file and what is wrong with it.
absl::Status CheckComplete(int dir_fd);

// CRIU dumps a periodic timerfd that has unread expirations as "no time left
// until the next", which a restore takes as "disarmed": the timer never fires
// again.  Rewrites such entries of files.img to "one interval left", leaving
// every other byte as it is, and returns how many there were; without any, the
// file is not touched.
// DataLoss: files.img is missing or damaged.  ResourceExhausted: disk full;
// the old file is still there.
absl::StatusOr<int> FixPeriodicTimerfds(int dir_fd);

}  // namespace ckpt

#endif  // CKPT_STORE_CRIU_IMAGES_H_
