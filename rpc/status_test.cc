#include "rpc/status.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "gtest/gtest.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"
#include "proto/rpc_status.pb.h"

namespace ckpt::rpc {
namespace {

constexpr char kReportUrl[] = "type.googleapis.com/ckpt.v1.FreezeReport";

absl::Status BusyWith(int blockers) {
  v1::FreezeReport report;
  report.set_refreezes(3);
  for (int i = 0; i < blockers; ++i) {
    v1::TaskInfo& task = *report.add_blockers();
    task.set_tid(1000 + i);
    task.set_comm("worker");
    task.add_stack("[<0>] request_wait_answer+0x12a/0x210");
  }
  absl::Status status = absl::UnavailableError("did not freeze");
  status.SetPayload(kReportUrl, absl::Cord(report.SerializeAsString()));
  return status;
}

v1::FreezeReport ReportOf(const absl::Status& status) {
  v1::FreezeReport report;
  const auto payload = status.GetPayload(kReportUrl);
  EXPECT_TRUE(payload.has_value());
  EXPECT_TRUE(
      report.ParseFromString(std::string(payload.value_or(absl::Cord()))));
  return report;
}

TEST(StatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_EQ(FromGrpcStatus(grpc::Status::OK), absl::OkStatus());
}

TEST(StatusTest, CodeMessageAndPayloadArriveUnchanged) {
  const absl::Status sent = BusyWith(2);
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(sent)), sent);
}

TEST(StatusTest, DetailsAreAStandardStatus) {
  google::rpc::Status details;
  ASSERT_TRUE(
      details.ParseFromString(ToGrpcStatus(BusyWith(1)).error_details()));
  EXPECT_EQ(details.code(), 14);
  EXPECT_EQ(details.message(), "did not freeze");
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), kReportUrl);
}

TEST(StatusTest, StatusWithoutPayloadHasNoDetails) {
  EXPECT_EQ(ToGrpcStatus(absl::NotFoundError("x")).error_details(), "");
}

TEST(StatusTest, ManyBlockersAreCutToWhatAPeerTakes) {
  const grpc::Status sent = ToGrpcStatus(BusyWith(1000));
  EXPECT_LE(sent.error_details().size(), 5000);
  const v1::FreezeReport report = ReportOf(FromGrpcStatus(sent));
  EXPECT_GT(report.blockers_size(), 10);
  EXPECT_EQ(report.blockers(0).tid(), 1000);
  EXPECT_EQ(report.refreezes(), 3);
}

TEST(StatusTest, ManyFindingsAreCutToWhatAPeerTakes) {
  constexpr char kUrl[] = "type.googleapis.com/ckpt.v1.CheckReport";
  v1::CheckReport report;
  for (int i = 0; i < 1000; ++i) {
    report.add_findings()->set_subject("tcp connection");
  }
  report.mutable_findings(0)->set_subject("io_uring");
  absl::Status status = absl::FailedPreconditionError("refused");
  status.SetPayload(kUrl, absl::Cord(report.SerializeAsString()));

  const absl::Status received = FromGrpcStatus(ToGrpcStatus(status));

  v1::CheckReport arrived;
  ASSERT_TRUE(arrived.ParseFromString(
      std::string(received.GetPayload(kUrl).value_or(absl::Cord()))));
  EXPECT_GT(arrived.findings_size(), 10);
  EXPECT_EQ(arrived.findings(0).subject(), "io_uring");
}

TEST(StatusTest, LongMessageIsCut) {
  const grpc::Status sent =
      ToGrpcStatus(absl::InternalError(std::string(100'000, 'x')));
  EXPECT_LT(sent.error_message().size(), 2100);
}

TEST(StatusTest, OtherPayloadThatDoesNotFitIsLeftOut) {
  absl::Status status = absl::InternalError("why");
  status.SetPayload("type.googleapis.com/other",
                    absl::Cord(std::string(100'000, 'x')));
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), absl::InternalError("why"));
}

TEST(StatusTest, DetailsThatAreNoneAreIgnored) {
  const grpc::Status foreign(grpc::StatusCode::UNAVAILABLE, "gone",
                             "\xff\xff not a message");
  EXPECT_EQ(FromGrpcStatus(foreign), absl::UnavailableError("gone"));
}

}  // namespace
}  // namespace ckpt::rpc
