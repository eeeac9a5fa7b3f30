#include "agent/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

void ExpectLine(const Metrics& metrics, const std::string& line) {
  EXPECT_TRUE(absl::StrContains(metrics.Text(), line + "\n")) << line << "\n"
                                                              << metrics.Text();
}

TEST(MetricsTest, AllIsThereFromTheStart) {
  const Metrics metrics;
  for (const std::string name :
       {"freeze", "frozen", "dump", "transfer", "restore", "blackout"}) {
    ExpectLine(metrics, "ckpt_" + name + "_seconds_count 0");
  }
  for (const std::string kind : {"image", "sent", "received"}) {
    ExpectLine(metrics, "ckpt_bytes_total{kind=\"" + kind + "\"} 0");
  }
}

TEST(MetricsTest, CallsAreCountedByMethodAndCode) {
  Metrics metrics;
  metrics.CountCall("Freeze", absl::StatusCode::kOk);
  metrics.CountCall("Freeze", absl::StatusCode::kOk);
  metrics.CountCall("Freeze", absl::StatusCode::kPermissionDenied);
  ExpectLine(metrics, "ckpt_calls_total{code=\"OK\",method=\"Freeze\"} 2");
  ExpectLine(metrics,
             "ckpt_calls_total{code=\"PERMISSION_DENIED\",method=\"Freeze\"} "
             "1");
}

TEST(MetricsTest, DumpTellsItsTimesAndBytes) {
  Metrics metrics;
  v1::Operation dump;
  dump.mutable_dump_request();
  v1::DumpReport& report = *dump.mutable_dump_report();
  report.set_image_bytes(4096);
  report.mutable_times()->set_total_seconds(0.5);
  report.mutable_times()->set_frozen_seconds(0.25);
  metrics.OperationEnded(dump);
  ExpectLine(metrics, "ckpt_operations_total{code=\"OK\",kind=\"dump\"} 1");
  ExpectLine(metrics, "ckpt_dump_seconds_sum 0.5");
  ExpectLine(metrics, "ckpt_frozen_seconds_sum 0.25");
  ExpectLine(metrics, "ckpt_frozen_seconds_bucket{le=\"0.1\"} 0");
  ExpectLine(metrics, "ckpt_frozen_seconds_bucket{le=\"0.25\"} 1");
  ExpectLine(metrics, "ckpt_bytes_total{kind=\"image\"} 4096");
}

TEST(MetricsTest, MigrationTellsItsDowntimeAndBytes) {
  Metrics metrics;
  v1::Operation migration;
  migration.mutable_migrate_request();
  v1::MigrateReport& report = *migration.mutable_migrate_report();
  report.set_downtime_seconds(0.25);
  report.set_image_bytes(4096);
  metrics.OperationEnded(migration);
  ExpectLine(metrics, "ckpt_operations_total{code=\"OK\",kind=\"migrate\"} 1");
  ExpectLine(metrics, "ckpt_blackout_seconds_sum 0.25");
  ExpectLine(metrics, "ckpt_bytes_total{kind=\"image\"} 4096");
}

TEST(MetricsTest, TransfersHaveTheirKindsAndThoseThatGotThroughTheirTimes) {
  Metrics metrics;
  metrics.TransferEnded(Metrics::Transfer::kPush, absl::StatusCode::kOk,
                        absl::Seconds(2));
  metrics.TransferEnded(Metrics::Transfer::kPush, absl::StatusCode::kDataLoss,
                        absl::Seconds(2));
  metrics.TransferEnded(Metrics::Transfer::kPull, absl::StatusCode::kOk,
                        absl::Seconds(1));
  ExpectLine(metrics, "ckpt_operations_total{code=\"OK\",kind=\"push\"} 1");
  ExpectLine(metrics,
             "ckpt_operations_total{code=\"DATA_LOSS\",kind=\"push\"} 1");
  ExpectLine(metrics, "ckpt_operations_total{code=\"OK\",kind=\"pull\"} 1");
  ExpectLine(metrics, "ckpt_transfer_seconds_sum 3");
}

TEST(MetricsTest, FailedOperationHasItsCodeAndNoTimes) {
  Metrics metrics;
  v1::Operation restore;
  restore.mutable_restore_request();
  restore.mutable_error()->set_code(5);
  metrics.OperationEnded(restore);
  ExpectLine(metrics,
             "ckpt_operations_total{code=\"NOT_FOUND\",kind=\"restore\"} 1");
  ExpectLine(metrics, "ckpt_restore_seconds_count 0");
}

TEST(MetricsTest, OnlyGroupsThatFrozeAreMeasured) {
  Metrics metrics;
  v1::FreezeResponse several;
  several.mutable_several()->add_groups();
  several.mutable_several()->add_groups()->set_code(14);
  metrics.Frozen(several);
  v1::FreezeResponse one;
  one.mutable_one()->set_seconds(0.5);
  metrics.Frozen(one);
  ExpectLine(metrics, "ckpt_freeze_seconds_count 2");
}

// What the server at HOST:PORT answers to a GET.
std::string Get(const std::string& address, const std::string& path) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  to.sin_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(::write(socket.get(), request.data(), request.size()),
            request.size());
  std::string answer;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(socket.get(), buffer, sizeof(buffer))) > 0) {
    answer.append(buffer, got);
  }
  return answer;
}

TEST(MetricsServerTest, MetricsAreScrapedAndNothingElse) {
  Metrics metrics;
  metrics.Add(Metrics::Bytes::kSent, 7);
  const auto server = MetricsServer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string answer = Get((*server)->address(), "/metrics");
  EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 200")) << answer;
  EXPECT_TRUE(absl::StrContains(answer, "ckpt_bytes_total{kind=\"sent\"} 7"))
      << answer;
  EXPECT_TRUE(absl::StartsWith(Get((*server)->address(), "/etc/passwd"),
                               "HTTP/1.1 404"));
}

TEST(MetricsServerTest, TakenPortAndNoAddressAreRefused) {
  const Metrics metrics;
  const auto first = MetricsServer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(absl::IsUnavailable(
      MetricsServer::Start((*first)->address(), metrics).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      MetricsServer::Start("nowhere", metrics).status()));
}

}  // namespace
}  // namespace ckpt::agent
