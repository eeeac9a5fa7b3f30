// The receiver's end of one call of PushImage: what may follow what.
//
//   PushSession session(receiver, admit);
//   while (Read(&request)) {
//     CKPT_ASSIGN_OR_RETURN(const auto reply, session.Take(request));
//     if (reply.has_value()) Write(*reply);
//   }
//   return session.End();
//
// After an error the call is over.
#ifndef CKPT_TRANSFER_PUSH_SESSION_H_
#define CKPT_TRANSFER_PUSH_SESSION_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/aligned_bytes.h"
#include "proto/transfer.pb.h"
#include "transfer/receiver.h"

namespace ckpt::transfer {

// Thread-compatible.  Borrows the receiver.
class PushSession {
 public:
  // Whether the caller may put that image, of the group `cgroup`, here.
  using Admit = std::function<absl::Status(const std::string& image,
                                           const std::string& cgroup)>;

  // `joins`: it is to be a further stream of a push that is under way.
  PushSession(Receiver& receiver, Admit admit, bool joins = false)
      : receiver_(receiver), admit_(std::move(admit)), joins_(joins) {}

  // FailedPrecondition: out of order.  Errors of `admit` and of Receiver.
  // `apart` as for Arrival::Add().
  absl::StatusOr<absl::optional<v1::PushReply>> Take(
      const v1::PushRequest& request, AlignedBytes* apart = nullptr);

  // Nothing more comes.  FailedPrecondition: nothing came at all.
  absl::Status End();

 private:
  absl::StatusOr<absl::optional<v1::PushReply>> Begin(
      const v1::ImageAnnouncement& announcement);

  Receiver& receiver_;
  const Admit admit_;
  const bool joins_;
  std::unique_ptr<Arrival> arrival_;
  bool ended_ = false;  // by a commit or a discard
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_PUSH_SESSION_H_
