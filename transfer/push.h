// Sends an image to another node, also one that is still being written.
//
//   v1::ImageAnnouncement announcement;     // image, transfer_id, cgroup
//   const auto push = Push::Begin(link, announcement, pending->dir_fd(),
//                                 {.cancel = &cancel});
//   ... CRIU writes pages-*.img into the directory, and they leave ...
//   CKPT_ASSIGN_OR_RETURN(manifest, pending->Seal(about));
//   CKPT_ASSIGN_OR_RETURN(v1::TransferReport report, push->Finish());
//
// From Begin() on, threads of its own send what files pages-*.img have grown by
// (CRIU only appends to them).  Finish() sends the rest, and the manifest last.
// An image that is whole is sent by Begin() and Finish().
//
// A connection that breaks is made anew, again and again as long as something
// arrives in between, else up to TransferOptions::attempts times; what has
// arrived is not sent again.  Whoever begins with the same transfer_id later,
// another process too, goes on from there.
//
// Thread-compatible.  Memory: at most 3 MiB for each stream.
#ifndef CKPT_TRANSFER_PUSH_H_
#define CKPT_TRANSFER_PUSH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancellation.h"
#include "proto/image.pb.h"
#include "proto/transfer.pb.h"
#include "transfer/link.h"

namespace ckpt::transfer {

// Of both directions.
struct TransferOptions {
  int streams = 0;  // 1 to 4; 0: by the number of processors
  const Cancellation* cancel = nullptr;  // borrowed; may be null
  // Called a few times a second, by one thread at a time; must not block.
  std::function<void(const v1::OperationProgress&)> on_progress = nullptr;
  // How often a connection is tried without anything having arrived, and how
  // long to wait after the first time; twice as long each time, up to 5 s.
  int attempts = 6;
  absl::Duration first_pause = absl::Milliseconds(200);
};

class Push {
 public:
  // Borrows the link and the directory until it is gone.  Returns at once:
  // errors are those of Finish().
  static std::unique_ptr<Push> Begin(Link& link,
                                     v1::ImageAnnouncement announcement,
                                     int dir_fd,
                                     const TransferOptions& options);

  virtual ~Push() = default;  // ends it; what has arrived stays resumable

  // What has gone wrong already, if anything: then Finish() fails.
  virtual absl::Status status() const = 0;

  // Call it once, when the image is whole: the directory has its manifest, and
  // nobody writes there any more.  OK: the image is at the receiver, compared
  // with the manifest and durable under its name.  Errors: those of
  // PushImage (proto/agent.proto), Cancelled, Unavailable when the receiver
  // cannot be reached any more.  Then there is no such image, but for
  // Unavailable, Cancelled and DeadlineExceeded, after which there may be:
  // begin again with the same announcement to know.
  virtual absl::StatusOr<v1::TransferReport> Finish() = 0;

  // Ends it, and has the receiver remove what has arrived.  An error: it could
  // not be told to, and removes it by itself after a day.
  virtual absl::Status Discard() = 0;
};

// The announcement of an image that is whole: whoever sends it again goes on
// from what has arrived.
v1::ImageAnnouncement AnnouncementOf(const v1::Manifest& manifest,
                                     const std::string& name);

// All files that a manifest lists.
uint64_t TotalBytes(const v1::Manifest& manifest);

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_PUSH_H_
