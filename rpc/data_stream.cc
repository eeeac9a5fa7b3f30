#include "rpc/data_stream.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "rpc/data_frame.h"
#include "rpc/status_proto.h"
#include "rpc/tls_connection.h"

namespace ckpt::rpc {
namespace {

constexpr absl::Duration kConnectLimit = absl::Milliseconds(1500);
// Whatever has been connected to may be no node's port for data.
constexpr absl::Duration kAnswerLimit = absl::Milliseconds(1500);

class DataStream : public transfer::PushStream {
 public:
  explicit DataStream(std::unique_ptr<TlsConnection> connection)
      : connection_(std::move(connection)) {
    connection_->SetLimit(kAnswerLimit);
  }

  bool Write(v1::PushRequest request) override {
    // The other end says nothing without being asked but that it has ended.
    return !connection_->HasInput() && WriteRequest(*connection_, request);
  }

  bool Read(v1::PushReply* reply) override {
    auto answer = ReadReply(*connection_);
    if (answer.ok() && answer->has_reply()) {
      *reply = std::move(*answer->mutable_reply());
      connection_->SetLimit(absl::ZeroDuration());
      return true;
    }
    NoteEnd(answer);
    return false;
  }

  absl::Status Finish() override {
    if (ended_) return status_;
    (void)WriteEnd(*connection_);
    NoteEnd(ReadReply(*connection_));
    return status_;
  }

  void Cancel() override { connection_->Cut(); }

 private:
  // What the other end says last.
  void NoteEnd(const absl::StatusOr<v1::DataReply>& answer) {
    ended_ = true;
    connection_->Cut();  // nobody need wait for more
    if (!answer.ok()) {
      status_ = answer.status();
    } else if (answer->has_end()) {
      status_ = FromStatusProto(answer->end());
    } else {
      status_ = absl::InternalError("a node answered what nobody had asked");
    }
  }

  const std::unique_ptr<TlsConnection> connection_;
  bool ended_ = false;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<transfer::PushStream>> OpenDataStream(
    const HostPort& data_port, const TlsIdentity& identity) {
  CKPT_ASSIGN_OR_RETURN(
      auto connection,
      TlsConnection::Connect(data_port, identity, kConnectLimit));
  return std::make_unique<DataStream>(std::move(connection));
}

}  // namespace ckpt::rpc
