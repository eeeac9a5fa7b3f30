#include "agent/grpc_peer.h"

#include <fcntl.h>

#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/on_cancel.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "grpcpp/client_context.h"
#include "proto/peer.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/image_link.h"
#include "transfer/push.h"

namespace ckpt::agent {
namespace {

// How long an answer may take.  A node that does not answer for so long counts
// as lost; what it was asked for it may do all the same.
constexpr absl::Duration kShortLimit = absl::Seconds(20);
// Of what is said again later, and until then: whoever cancelled a migration,
// or stops the agent, waits for it.
constexpr absl::Duration kAbortLimit = absl::Seconds(5);
constexpr absl::Duration kRestoreLimit = absl::Seconds(150);
// Before the decision: rather give up than keep the job standing.
constexpr int kSendAttempts = 3;

using Stub = v1::Peer::Stub;

class GrpcPeer : public migrate::Peer {
 public:
  GrpcPeer(PeerOptions options, std::shared_ptr<rpc::Channel> channel)
      : options_(std::move(options)),
        channel_(std::move(channel)),
        stub_(v1::Peer::NewStub(channel_->grpc())),
        link_(
            rpc::MakeImageLink({.node = options_.node, .tls = options_.tls})) {}

  absl::Status Prepare(const v1::MigrationRecord& record) override {
    CKPT_RETURN_IF_ERROR(CheckReachable(options_.node, options_.source));
    return Call(&Stub::Prepare, AboutRecord(record), kShortLimit, nullptr)
        .status();
  }

  void BeginSend(const v1::MigrationRecord& record, int image_dir_fd,
                 const Cancellation* cancel) override {
    v1::ImageAnnouncement announcement;
    announcement.set_image(record.image());
    announcement.set_transfer_id(record.generation());
    announcement.set_cgroup(record.request().cgroup());
    announcement.set_restored_soon(true);
    transfer::TransferOptions options;
    options.cancel = cancel;
    options.on_progress = [this](const v1::OperationProgress& progress) {
      Count(progress.bytes_wire());
      if (options_.on_progress != nullptr) options_.on_progress(progress);
    };
    options.attempts = kSendAttempts;
    // A dump that fails closes its own while push_ may still read.
    image_dir_ = UniqueFd(::fcntl(image_dir_fd, F_DUPFD_CLOEXEC, 0));
    push_ =
        transfer::Push::Begin(*link_, announcement, image_dir_.get(), options);
  }

  absl::Status Send(const v1::MigrationRecord&, const Cancellation*) override {
    // What has arrived of one that failed goes with Abort(): the job does not
    // stand still for that.
    const auto sent = push_->Finish();
    push_ = nullptr;
    CKPT_RETURN_IF_ERROR(sent.status());
    Count(sent->wire_bytes());
    if (options_.metrics != nullptr) {
      options_.metrics->Observe(Metrics::Time::kTransfer,
                                absl::Seconds(sent->seconds()));
    }
    return absl::OkStatus();
  }

  absl::Status Hold(const v1::MigrationRecord& record,
                    const Cancellation* cancel) override {
    return Call(&Stub::Hold, AboutId(record), kRestoreLimit, cancel).status();
  }

  absl::StatusOr<v1::RestoreReport> Release(
      const v1::MigrationRecord& record) override {
    CKPT_ASSIGN_OR_RETURN(
        const v1::PeerReleased released,
        Call(&Stub::Release, AboutId(record), kRestoreLimit, nullptr));
    return released.report();
  }

  absl::Status Abort(const v1::MigrationRecord& record) override {
    push_ = nullptr;
    return Call(&Stub::Abort, AboutRecord(record), kAbortLimit, nullptr)
        .status();
  }

  absl::StatusOr<v1::MigrationDecision> Decision(
      const v1::MigrationRecord& record) override {
    CKPT_ASSIGN_OR_RETURN(
        const v1::PeerDecided decided,
        Call(&Stub::Decision, AboutId(record), kShortLimit, nullptr));
    return decided.decision();
  }

 private:
  // So much was sent since push_ began.
  void Count(uint64_t bytes) {
    if (options_.metrics == nullptr || bytes <= counted_) return;
    options_.metrics->Add(Metrics::Bytes::kSent, bytes - counted_);
    counted_ = bytes;
  }

  v1::PeerPrepare AboutRecord(const v1::MigrationRecord& record) const {
    v1::PeerPrepare request;
    *request.mutable_record() = record;
    request.mutable_record()->clear_steps();
    request.mutable_record()->clear_network_lock();
    request.set_source(options_.source);
    return request;
  }
  static v1::PeerMigration AboutId(const v1::MigrationRecord& record) {
    v1::PeerMigration request;
    request.set_id(record.id());
    request.set_generation(record.generation());
    return request;
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                   Response*),
      const Request& request, absl::Duration limit,
      const Cancellation* cancel) const {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
    Response response;
    grpc::Status status;
    {
      const OnCancel on_cancel(cancel, [&context] { context.TryCancel(); });
      status = (stub_.get()->*method)(&context, request, &response);
    }
    absl::Status described = channel_->Describe(status);
    // Not the job's, but the node's: it did not answer.
    if (absl::IsDeadlineExceeded(described)) {
      described = absl::UnavailableError(
          absl::StrCat("node ", options_.node, " has not answered in time (",
                       described.message(), ")"));
    }
    CKPT_RETURN_IF_ERROR(described);
    return response;
  }

  const PeerOptions options_;
  const std::shared_ptr<rpc::Channel> channel_;
  const std::unique_ptr<Stub> stub_;
  const std::unique_ptr<transfer::Link> link_;
  uint64_t counted_ = 0;  // of push_'s threads, until it is finished
  UniqueFd image_dir_;    // of push_
  std::unique_ptr<transfer::Push> push_;
};

}  // namespace

absl::Status CheckReachable(const std::string& node,
                            const std::string& source) {
  const bool is_here = absl::StartsWith(node, "unix:");
  const bool is_socket = source.empty() || absl::StartsWith(source, "unix:");
  const bool is_any =
      absl::StartsWith(source, "0.0.0.0:") || absl::StartsWith(source, "[::]:");
  if (is_here || !(is_socket || is_any)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "node ", node, " could not ask this one for its decision, as this ckptd ",
      is_any ? absl::StrCat("says that it is ", source)
             : "serves no other machine",
      ": start it with --listen HOST:PORT, and, where that is no address that "
      "others reach, --advertise HOST:PORT; nothing was touched"));
}

absl::StatusOr<std::unique_ptr<migrate::Peer>> ConnectPeer(
    const PeerOptions& options) {
  CKPT_ASSIGN_OR_RETURN(auto channel, rpc::Channel::Open({.node = options.node,
                                                          .tls = options.tls}));
  return std::make_unique<GrpcPeer>(options, std::move(channel));
}

}  // namespace ckpt::agent
