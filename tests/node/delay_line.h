// A link that takes its time, where the kernel has no netem.
//
//   CKPT_ASSIGN_OR_RETURN(const auto line,
//                         DelayLine::Start(pid, "port1", "line1", delay));
//
// A thread carries whole frames between two interfaces, by packet sockets.
// What the kernel left to the interfaces (checksums, segmentation) goes along
// (PACKET_VNET_HDR of packet(7)).
#ifndef CKPT_TESTS_NODE_DELAY_LINE_H_
#define CKPT_TESTS_NODE_DELAY_LINE_H_

#include <sys/types.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "base/unique_fd.h"

namespace ckpt {

// Thread-compatible.
class DelayLine {
 public:
  // Between two interfaces, which are up, of the network namespace of `pid`:
  // what comes to one leaves by the other after `delay`.  What finds thousands
  // of frames before it is lost, as with a router.
  static absl::StatusOr<std::unique_ptr<DelayLine>> Start(
      pid_t pid, const std::string& one, const std::string& other,
      absl::Duration delay);

  ~DelayLine();  // the link is cut

  DelayLine(const DelayLine&) = delete;
  DelayLine& operator=(const DelayLine&) = delete;

 private:
  struct Frame {
    absl::Time due;
    std::string bytes;
  };
  struct Direction {
    UniqueFd* from;
    UniqueFd* to;
    std::deque<Frame> frames;
  };

  explicit DelayLine(absl::Duration delay) : delay_(delay) {}

  absl::Status Open(pid_t pid, const std::string& one,
                    const std::string& other);
  void Run();
  void Take(Direction& direction);
  void Pass(Direction& direction);

  const absl::Duration delay_;
  UniqueFd one_;
  UniqueFd other_;
  Direction directions_[2] = {{.from = &one_, .to = &other_, .frames = {}},
                              {.from = &other_, .to = &one_, .frames = {}}};
  std::string buffer_;
  Cancellation stop_;
  std::thread thread_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_NODE_DELAY_LINE_H_
