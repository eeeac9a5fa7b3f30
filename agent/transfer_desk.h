// Where images are taken in and given out: admits the requests, and has them
// done by transfer/.
//
//   absl::Status ended = desk.Push(caller, stream);
//
// An image that comes is admitted by the group that it is announced as of,
// which its manifest has to confirm; one that goes by the group of its
// manifest.
//
// Bytes, times and outcomes are counted.  All calls block, as long as the
// transfer takes.  Errors: PermissionDenied; those of PushImage and PullImage
// in proto/agent.proto.
//
// Thread-safe.  Borrows all for its lifetime.
#ifndef CKPT_AGENT_TRANSFER_DESK_H_
#define CKPT_AGENT_TRANSFER_DESK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "agent/caller.h"
#include "agent/gate.h"
#include "agent/metrics.h"
#include "base/aligned_bytes.h"
#include "proto/transfer.pb.h"
#include "store/image_store.h"
#include "transfer/push_session.h"
#include "transfer/receiver.h"

namespace ckpt::agent {

// The caller's end of a call, for one thread.  Each blocks; false: the call has
// ended, or the caller sends nothing more.  The bytes of a chunk are in
// `apart`, or in the message if that is empty.
class PushCaller {
 public:
  virtual ~PushCaller() = default;
  virtual bool Read(v1::PushRequest* request, AlignedBytes* apart) = 0;
  virtual bool Write(const v1::PushReply& reply) = 0;
  // Whether it may only be a further stream of a push that is under way.
  virtual bool Joins() const { return false; }
};

class PullCaller {
 public:
  virtual ~PullCaller() = default;
  virtual bool Write(const v1::PullReply& reply) = 0;
};

// What a caller is told for whom there is no carrier.
absl::Status TooManyTransfers();

class TransferDesk {
 public:
  // Called before what has arrived becomes an image, with its id; and with ""
  // when it has not.  An error refuses it.
  using NoteArrival = std::function<absl::Status(
      const v1::ImageAnnouncement& announcement, const std::string& image_id)>;

  // `note_arrival` may be null.
  TransferDesk(const Gate& gate, const ImageStore& store,
               transfer::Receiver& receiver, Metrics& metrics,
               NoteArrival note_arrival)
      : gate_(gate),
        store_(store),
        receiver_(receiver),
        metrics_(metrics),
        note_arrival_(std::move(note_arrival)) {}

  // From now on callers of other machines are told of that port
  // (agent/data_server.h).
  void OfferDataPort(uint16_t port) { data_port_ = port; }

  absl::Status Push(const Caller& caller, PushCaller& call);
  absl::Status Pull(const Caller& caller, const v1::PullRequest& request,
                    PullCaller& call);

 private:
  // `transfer`: the call stands for its transfer, and is no further stream.
  absl::Status TakeIn(const Caller& caller, PushCaller& call, bool& transfer);
  absl::Status GiveOut(const Caller& caller, const v1::PullRequest& request,
                       PullCaller& call);
  absl::StatusOr<absl::optional<v1::PushReply>> Take(
      transfer::PushSession& session, const v1::ImageAnnouncement& begun,
      const v1::PushRequest& request, AlignedBytes* apart);

  const Gate& gate_;
  const ImageStore& store_;
  transfer::Receiver& receiver_;
  Metrics& metrics_;
  const NoteArrival note_arrival_;
  std::atomic<uint16_t> data_port_{0};
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_TRANSFER_DESK_H_
