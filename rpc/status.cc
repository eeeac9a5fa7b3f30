#include "rpc/status.h"

#include <cstddef>
#include <string>
#include <type_traits>

#include "google/protobuf/any.pb.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"
#include "proto/rpc_status.pb.h"
#include "rpc/status_proto.h"

namespace ckpt::rpc {
namespace {

// Message and details together stay below the 8 KiB that a peer accepts
// (GRPC_ARG_MAX_METADATA_SIZE); the message is in both.
constexpr size_t kMaxMessageBytes = 2000;
constexpr size_t kMaxDetailsBytes = 5000;

bool Fits(const google::rpc::Status& status) {
  return status.ByteSizeLong() <= kMaxDetailsBytes;
}

// Takes the last of the longest list; false when all are empty.
bool DropOne(v1::FreezeReport& report) {
  auto* longest = report.mutable_blockers();
  for (auto* list : {report.mutable_strays(), report.mutable_outsiders()}) {
    if (list->size() > longest->size()) longest = list;
  }
  if (longest->empty()) return false;
  longest->RemoveLast();
  return true;
}

bool DropOne(v1::CheckReport& report) {
  if (report.findings().empty()) return false;
  report.mutable_findings()->RemoveLast();
  return true;
}

// Makes the report shorter until `status`, which holds it in `detail`, fits.
template <typename Report>
void Shorten(google::protobuf::Any& detail, const google::rpc::Status& status) {
  Report report;
  if (!detail.UnpackTo(&report)) return;
  if constexpr (std::is_same_v<Report, v1::FreezeReport>) report.clear_tasks();
  detail.PackFrom(report);
  while (!Fits(status) && DropOne(report)) detail.PackFrom(report);
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status proto = ToStatusProto(status);
  if (proto.message().size() > kMaxMessageBytes) {
    proto.mutable_message()->resize(kMaxMessageBytes);
    proto.mutable_message()->append(" [...]");
  }
  for (google::protobuf::Any& detail : *proto.mutable_details()) {
    if (Fits(proto)) break;
    if (detail.Is<v1::FreezeReport>()) {
      Shorten<v1::FreezeReport>(detail, proto);
    } else if (detail.Is<v1::CheckReport>()) {
      Shorten<v1::CheckReport>(detail, proto);
    }
  }
  while (!Fits(proto) && !proto.details().empty()) {
    proto.mutable_details()->RemoveLast();
  }
  return grpc::Status(static_cast<grpc::StatusCode>(proto.code()),
                      proto.message(),
                      proto.details().empty() ? "" : proto.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status proto;
  if (!proto.ParseFromString(status.error_details())) proto.Clear();
  proto.set_code(status.error_code());
  proto.set_message(status.error_message());
  return FromStatusProto(proto);
}

}  // namespace ckpt::rpc
