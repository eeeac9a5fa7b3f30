// The way to the other node, as the two ends of a transfer see it: a seam, over
// gRPC in rpc/image_link.h, and without a network in the tests.
#ifndef CKPT_TRANSFER_LINK_H_
#define CKPT_TRANSFER_LINK_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/transfer.pb.h"

namespace ckpt::transfer {

// One call of PushImage.  All but Cancel() is for one thread.
class PushStream {
 public:
  virtual ~PushStream() = default;  // cancels a call that has not ended

  // Blocks while the receiver is slower.  False: the call has ended, and
  // Finish() tells why.
  virtual bool Write(v1::PushRequest request) = 0;
  // The next answer; false: as Write().
  virtual bool Read(v1::PushReply* reply) = 0;
  // Says that nothing more comes, and waits for the call's end.
  virtual absl::Status Finish() = 0;
  // By any thread: ends the call, and what waits for it.
  virtual void Cancel() = 0;
};

// One call of PullImage.  As above.
class PullStream {
 public:
  virtual ~PullStream() = default;
  virtual bool Read(v1::PullReply* reply) = 0;
  virtual absl::Status Finish() = 0;
  virtual void Cancel() = 0;
};

// Thread-safe.  Streams may outlive it.
class Link {
 public:
  virtual ~Link() = default;

  // Neither waits for the other node: errors are those of the streams.  Each
  // has a connection of its own, made anew.
  virtual std::unique_ptr<PushStream> OpenPush() = 0;
  // A further stream of a push, to that port of the receiver, by which data go
  // faster (ArrivalState.data_port).  Connects, which takes 1.5 s at most.
  // Unimplemented: this link has no such way.  Else why the port cannot be
  // used.
  virtual absl::StatusOr<std::unique_ptr<PushStream>> OpenData(
      uint16_t /*data_port*/) {
    return absl::UnimplementedError("no data ports");
  }
  virtual std::unique_ptr<PullStream> OpenPull(
      const v1::PullRequest& request) = 0;
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_LINK_H_
