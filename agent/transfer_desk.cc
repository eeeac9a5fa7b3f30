#include "agent/transfer_desk.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "agent/policy.pb.h"
#include "base/clock.h"
#include "base/status.h"
#include "store/manifest.h"
#include "transfer/pull_session.h"
#include "transfer/push_session.h"

namespace ckpt::agent {

absl::Status TooManyTransfers() {
  return absl::UnavailableError(
      "this node's ckptd has as many images on their way as it may, or may for "
      "this caller, or is about to end; try again later");
}

absl::Status TransferDesk::Push(const Caller& caller, PushCaller& call) {
  Clock& clock = Clock::Real();
  const absl::Time start = clock.Now();
  bool transfer = false;
  absl::Status ended = TakeIn(caller, call, transfer);
  if (transfer) {
    metrics_.TransferEnded(Metrics::Transfer::kPush, ended.code(),
                           clock.Now() - start);
  }
  return ended;
}

absl::Status TransferDesk::TakeIn(const Caller& caller, PushCaller& call,
                                  bool& transfer) {
  // Before it is waited for what the caller says.
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, PUSH, ""));
  transfer::PushSession session(
      receiver_,
      [&](const std::string& image, const std::string& cgroup) {
        return gate_.Admit(caller, PUSH, {cgroup}, image);
      },
      call.Joins());
  v1::PushRequest request;
  AlignedBytes apart;
  v1::ImageAnnouncement begun;
  while (call.Read(&request, &apart)) {
    if (request.has_begin()) {
      begun = request.begin();
      transfer = !begun.further_stream();
    }
    metrics_.Add(Metrics::Bytes::kReceived,
                 request.chunk().data().size() + apart.size());
    CKPT_ASSIGN_OR_RETURN(auto reply, Take(session, begun, request, &apart));
    if (!reply.has_value()) continue;
    if (reply->has_state() && !caller.uid.has_value()) {
      reply->mutable_state()->set_data_port(data_port_);
    }
    if (!call.Write(*reply)) {
      return absl::CancelledError("the caller has gone");
    }
  }
  return session.End();
}

absl::StatusOr<absl::optional<v1::PushReply>> TransferDesk::Take(
    transfer::PushSession& session, const v1::ImageAnnouncement& begun,
    const v1::PushRequest& request, AlignedBytes* apart) {
  if (!request.has_commit() || note_arrival_ == nullptr) {
    return session.Take(request, apart);
  }
  // Before it is an image: whoever finds it then knows whose it is.
  CKPT_ASSIGN_OR_RETURN(const v1::Manifest manifest,
                        DecodeManifest(request.commit().manifest()));
  CKPT_RETURN_IF_ERROR(note_arrival_(begun, manifest.image_id()));
  auto reply = session.Take(request);
  if (!reply.ok()) (void)note_arrival_(begun, "");
  return reply;
}

absl::Status TransferDesk::Pull(const Caller& caller,
                                const v1::PullRequest& request,
                                PullCaller& call) {
  Clock& clock = Clock::Real();
  const absl::Time start = clock.Now();
  absl::Status ended = GiveOut(caller, request, call);
  // One of the streams stands for the transfer; without any it is a question.
  if (request.streams() > 0 && request.stream() == 0) {
    metrics_.TransferEnded(Metrics::Transfer::kPull, ended.code(),
                           clock.Now() - start);
  }
  return ended;
}

absl::Status TransferDesk::GiveOut(const Caller& caller,
                                   const v1::PullRequest& request,
                                   PullCaller& call) {
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, PULL, request.image()));
  if (absl::StrContains(request.image(), '/')) {
    return absl::InvalidArgumentError(
        "an image with a path is for a ckpt on the node itself, not for its "
        "agent; nothing was sent");
  }
  CKPT_ASSIGN_OR_RETURN(Image image, store_.Open(request.image()));
  CKPT_RETURN_IF_ERROR(gate_.Admit(
      caller, PULL, {image.manifest().job().cgroup()}, request.image()));
  CKPT_ASSIGN_OR_RETURN(const auto session, transfer::PullSession::Begin(
                                                std::move(image), request));
  Clock& clock = Clock::Real();
  v1::PullReply reply;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const bool more, session->Next(&reply));
    if (!more) return absl::OkStatus();
    const absl::Time start = clock.Now();
    if (!call.Write(reply)) return absl::CancelledError("the caller has gone");
    session->Sent(clock.Now() - start);
    metrics_.Add(Metrics::Bytes::kSent, reply.chunk().data().size());
  }
}

}  // namespace ckpt::agent
