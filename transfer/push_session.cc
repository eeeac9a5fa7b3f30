#include "transfer/push_session.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace ckpt::transfer {
namespace {

absl::Status OutOfOrder(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("a push is begin, chunks, commit; ", what));
}

}  // namespace

absl::StatusOr<absl::optional<v1::PushReply>> PushSession::Begin(
    const v1::ImageAnnouncement& announcement) {
  if (arrival_ != nullptr) return OutOfOrder("this one has begun already");
  CKPT_RETURN_IF_ERROR(admit_(announcement.image(), announcement.cgroup()));
  if (joins_ && !receiver_.IsUnderWay(announcement)) {
    return absl::FailedPreconditionError(
        absl::StrCat("no push of image ", announcement.image(),
                     " that this stream could be of is under way here"));
  }
  CKPT_ASSIGN_OR_RETURN(arrival_, receiver_.Open(announcement));
  v1::PushReply reply;
  *reply.mutable_state() = arrival_->state();
  return absl::make_optional(std::move(reply));
}

absl::StatusOr<absl::optional<v1::PushReply>> PushSession::Take(
    const v1::PushRequest& request, AlignedBytes* apart) {
  using Nothing = absl::optional<v1::PushReply>;
  if (ended_) return OutOfOrder("this one has ended already");
  if (request.what_case() == v1::PushRequest::kBegin) {
    return Begin(request.begin());
  }
  if (arrival_ == nullptr) return OutOfOrder("this one has not begun");
  switch (request.what_case()) {
    case v1::PushRequest::kChunk:
      CKPT_RETURN_IF_ERROR(arrival_->Add(request.chunk(), apart));
      return Nothing();
    case v1::PushRequest::kCommit: {
      ended_ = true;
      v1::PushReply reply;
      CKPT_ASSIGN_OR_RETURN(*reply.mutable_result(),
                            arrival_->Commit(request.commit().manifest()));
      return absl::make_optional(std::move(reply));
    }
    case v1::PushRequest::kAlive:
      return Nothing();
    case v1::PushRequest::kDiscard:
      ended_ = true;
      CKPT_RETURN_IF_ERROR(arrival_->Discard());
      return Nothing();
    default:
      return OutOfOrder("this message is none of them");
  }
}

absl::Status PushSession::End() {
  if (arrival_ == nullptr) return OutOfOrder("this one has not begun");
  absl::Status written = ended_ ? absl::OkStatus() : arrival_->Flush();
  arrival_ = nullptr;
  return written;
}

}  // namespace ckpt::transfer
