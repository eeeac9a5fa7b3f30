#include "transfer/pull_session.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "store/layout.h"
#include "transfer/chunk.h"
#include "transfer/ranges.h"

namespace ckpt::transfer {

absl::StatusOr<std::string> ReadManifestFile(int dir_fd) {
  CKPT_ASSIGN_OR_RETURN(std::string bytes, ReadFileAt(dir_fd, kManifestFile));
  if (bytes.size() <= kMaxManifestBytes) return bytes;
  return absl::InvalidArgumentError(
      absl::StrCat("the image has too many files to be sent: its manifest has ",
                   bytes.size(), " bytes, more than ", kMaxManifestBytes,
                   "; copy its directory by other means"));
}

absl::StatusOr<std::unique_ptr<PullSession>> PullSession::Begin(
    Image image, const v1::PullRequest& request) {
  if (request.streams() > kMaxStreams ||
      (request.streams() > 0 && request.stream() >= request.streams())) {
    return absl::InvalidArgumentError(
        absl::StrCat("stream ", request.stream(), " of ", request.streams(),
                     ": there may be 1 to ", kMaxStreams,
                     ", numbered from 0; nothing was sent"));
  }
  CKPT_ASSIGN_OR_RETURN(FileRangeSets arrived, FromProto(request.arrived()));
  CKPT_ASSIGN_OR_RETURN(std::string manifest, ReadManifestFile(image.dir_fd()));
  const Feed::Part part = {
      .stream = request.stream(),
      .streams = request.streams() == 0 ? 1 : request.streams()};
  auto session = absl::WrapUnique(
      new PullSession(std::move(image), std::move(manifest), part));
  session->manifest_only_ = request.streams() == 0;
  session->feed_.Complete(session->image_.manifest());
  session->feed_.Restart(std::move(arrived));
  return session;
}

PullSession::PullSession(Image image, std::string manifest, Feed::Part part)
    : image_(std::move(image)),
      manifest_(std::move(manifest)),
      feed_(image_.dir_fd(), part),
      source_(feed_, image_.dir_fd()) {}

absl::StatusOr<bool> PullSession::Next(v1::PullReply* reply) {
  if (!manifest_.empty()) {
    reply->set_manifest(std::exchange(manifest_, std::string()));
    return true;
  }
  if (manifest_only_) return false;
  return source_.Next(reply->mutable_chunk());
}

void PullSession::Sent(absl::Duration time) { source_.Sent(time); }

}  // namespace ckpt::transfer
