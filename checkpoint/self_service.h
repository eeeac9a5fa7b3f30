// Takes the calls of jobs for their own checkpoints, and has each done by a
// process of its own (self_worker.h).
//
//   CKPT_ASSIGN_OR_RETURN(auto port, SelfPort::Listen(path, mode));
//   SelfService service(std::move(port), {.ckpt = path},
//                       [](const SelfCall& call) { return SelfTerms(); });
//   CKPT_RETURN_IF_ERROR(service.Serve(stop));
//
// A call that comes again, as it does until it is answered, is known by process
// and number.  One that is refused is told why.
#ifndef CKPT_CHECKPOINT_SELF_SERVICE_H_
#define CKPT_CHECKPOINT_SELF_SERVICE_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "checkpoint/self_port.h"
#include "checkpoint/self_worker.h"

namespace ckpt::checkpoint {

// Not thread-safe.
class SelfService {
 public:
  // What the caller is granted, or why it is not; the message ends with what
  // was touched, which is nothing.
  using Admit = std::function<absl::StatusOr<SelfTerms>(const SelfCall& call)>;

  SelfService(std::unique_ptr<SelfPort> port, SelfPrograms programs,
              Admit admit)
      : port_(std::move(port)),
        programs_(std::move(programs)),
        admit_(std::move(admit)) {}

  // Until it is cancelled.  Dumps that are at work then go on by themselves.
  absl::Status Serve(const Cancellation& stop);

 private:
  void Take(const SelfCall& call);
  absl::Status Begin(const SelfCall& call);
  absl::Status CheckRoomFor(uid_t uid) const;

  const std::unique_ptr<SelfPort> port_;
  const SelfPrograms programs_;
  const Admit admit_;
  std::vector<SelfWorker> workers_;
};

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_SELF_SERVICE_H_
