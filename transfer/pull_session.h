// The sender's end of one call of PullImage.
//
//   CKPT_ASSIGN_OR_RETURN(auto session, PullSession::Begin(image, request));
//   v1::PullReply reply;
//   while (true) {
//     CKPT_ASSIGN_OR_RETURN(const bool more, session->Next(&reply));
//     if (!more) break;
//     ... write it ...
//     session->Sent(time that took);
//   }
#ifndef CKPT_TRANSFER_PULL_SESSION_H_
#define CKPT_TRANSFER_PULL_SESSION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/transfer.pb.h"
#include "store/image.h"
#include "transfer/chunk_source.h"
#include "transfer/feed.h"

namespace ckpt::transfer {

// Thread-compatible.
class PullSession {
 public:
  // InvalidArgument: the request contradicts itself, or has too many streams;
  // or the image has too many files to be sent.  Errors of the file system.
  static absl::StatusOr<std::unique_ptr<PullSession>> Begin(
      Image image, const v1::PullRequest& request);

  // Fills the next answer; false: there are no more.
  absl::StatusOr<bool> Next(v1::PullReply* reply);
  void Sent(absl::Duration time);

 private:
  PullSession(Image image, std::string manifest, Feed::Part part);

  const Image image_;
  std::string manifest_;  // the file; until it is sent
  bool manifest_only_ = false;
  Feed feed_;
  ChunkSource source_;
};

// The file of an image's manifest, if it is short enough to be sent.
absl::StatusOr<std::string> ReadManifestFile(int dir_fd);

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_PULL_SESSION_H_
