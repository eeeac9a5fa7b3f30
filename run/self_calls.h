// The job's own calls for a checkpoint: ckpt_self() of libckpt, by a socket
// that its environment names.
//
//   CKPT_ASSIGN_OR_RETURN(auto calls, SelfCalls::Listen(path));
//   ... when calls->fd() is readable ...
//   while (auto caller = calls->Next(root)) {
//     caller->TellWhile(number, image_path, dump_environment);
//     caller->Tell(Dump(request, dump_environment).status());
//   }
//
// Whoever of the job asks, and for whatever, gets the next image of the whole
// job, in its store.
#ifndef CKPT_RUN_SELF_CALLS_H_
#define CKPT_RUN_SELF_CALLS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/dump.h"
#include "checkpoint/mailbox.h"
#include "checkpoint/self_port.h"

namespace ckpt::run {

// A process that waits in ckpt_self().  Movable; not thread-safe.
class SelfCaller {
 public:
  SelfCaller(checkpoint::Mailbox mailbox, bool exit, bool early)
      : mailbox_(std::move(mailbox)), exit_(exit), early_(early) {}

  // The job is to end in its image.
  bool exit() const { return exit_; }

  // Has a dump into that image tell it: in the image, that it was restarted;
  // and, if it does not wait for the disk, that it goes on.  Must outlive the
  // dump.
  void TellWhile(int64_t number, const std::string& image_path,
                 checkpoint::DumpEnvironment& environment);
  // It went on already: what comes now is not for the same wait.
  bool is_released() const { return is_released_; }
  // The end of the wait: whether the image is there.  One that has ended
  // meanwhile is not told.
  void Tell(const absl::Status& outcome) const;

 private:
  checkpoint::Mailbox mailbox_;
  bool exit_;
  bool early_;
  bool is_released_ = false;
  int64_t number_ = 0;
  std::string image_path_;
};

// Not thread-safe.
class SelfCalls {
 public:
  // Errors as SelfPort::Listen().
  static absl::StatusOr<std::unique_ptr<SelfCalls>> Listen(
      const std::string& path);

  int fd() const { return port_->fd(); }

  // The next process of the tree of `root` that asks, without waiting.  Others
  // are refused; those that have their answer already are passed over.
  std::optional<SelfCaller> Next(pid_t root);

 private:
  explicit SelfCalls(std::unique_ptr<checkpoint::SelfPort> port)
      : port_(std::move(port)) {}

  const std::unique_ptr<checkpoint::SelfPort> port_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_SELF_CALLS_H_
