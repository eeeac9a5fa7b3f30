#include "agent/metrics.h"

#include <exception>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/version.h"
#include "prometheus/counter.h"
#include "prometheus/exposer.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "rpc/host_port.h"

namespace ckpt::agent {
namespace {

using prometheus::Histogram;

// Seconds.  A freeze takes parts of a millisecond, a transfer many minutes.
const Histogram::BucketBoundaries& Buckets() {
  static const auto& buckets = *new Histogram::BucketBoundaries{
      0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
      0.5,    1,     2.5,    5,     10,   30,    60,   300, 1800};
  return buckets;
}

struct TimeName {
  Metrics::Time time;
  const char* name;
  const char* help;
};
constexpr TimeName kTimes[] = {
    {Metrics::Time::kFreeze, "ckpt_freeze_seconds",
     "From the request until all tasks of a group are frozen"},
    {Metrics::Time::kFrozen, "ckpt_frozen_seconds",
     "How long a job stood still for a dump"},
    {Metrics::Time::kDump, "ckpt_dump_seconds", "Dumps, from start to end"},
    {Metrics::Time::kTransfer, "ckpt_transfer_seconds",
     "Transfers of images to and from other nodes"},
    {Metrics::Time::kRestore, "ckpt_restore_seconds",
     "Restores, from start to end"},
    {Metrics::Time::kBlackout, "ckpt_blackout_seconds",
     "Migrations, from the freeze until the job runs at the other node"},
};

const char* NameOf(Metrics::Bytes kind) {
  switch (kind) {
    case Metrics::Bytes::kImage:
      return "image";
    case Metrics::Bytes::kSent:
      return "sent";
    case Metrics::Bytes::kReceived:
      return "received";
  }
  return "";
}

const char* KindOf(const v1::Operation& operation) {
  return operation.has_dump_request()      ? "dump"
         : operation.has_restore_request() ? "restore"
         : operation.has_migrate_request() ? "migrate"
                                           : "other";
}

}  // namespace

struct Metrics::Registry {
  std::shared_ptr<prometheus::Registry> all =
      std::make_shared<prometheus::Registry>();
  prometheus::Family<prometheus::Counter>& calls =
      prometheus::BuildCounter()
          .Name("ckpt_calls_total")
          .Help("Calls of the API that have ended")
          .Register(*all);
  prometheus::Family<prometheus::Counter>& operations =
      prometheus::BuildCounter()
          .Name("ckpt_operations_total")
          .Help("Operations that have ended")
          .Register(*all);
  prometheus::Family<prometheus::Counter>& bytes =
      prometheus::BuildCounter()
          .Name("ckpt_bytes_total")
          .Help("Bytes written into images, sent and received")
          .Register(*all);
  std::map<Time, Histogram*> times;

  void CountOperation(const char* kind, absl::StatusCode code) {
    operations.Add({{"kind", kind}, {"code", absl::StatusCodeToString(code)}})
        .Increment();
  }
};

Metrics::Metrics() : registry_(std::make_unique<Registry>()) {
  prometheus::BuildGauge()
      .Name("ckpt_build_info")
      .Help("1, with the version of ckptd")
      .Register(*registry_->all)
      .Add({{"version", kVersion}})
      .Set(1);
  for (const TimeName& time : kTimes) {
    registry_->times[time.time] = &prometheus::BuildHistogram()
                                       .Name(time.name)
                                       .Help(time.help)
                                       .Register(*registry_->all)
                                       .Add({}, Buckets());
  }
  // Also those at zero, so that the first one is a change.
  for (const Bytes kind : {Bytes::kImage, Bytes::kSent, Bytes::kReceived}) {
    registry_->bytes.Add({{"kind", NameOf(kind)}});
  }
}

Metrics::~Metrics() = default;

void Metrics::Observe(Time time, absl::Duration took) {
  registry_->times.at(time)->Observe(absl::ToDoubleSeconds(took));
}

void Metrics::Add(Bytes kind, uint64_t bytes) {
  registry_->bytes.Add({{"kind", NameOf(kind)}})
      .Increment(static_cast<double>(bytes));
}

void Metrics::CountCall(absl::string_view method, absl::StatusCode code) {
  registry_->calls
      .Add({{"method", std::string(method)},
            {"code", absl::StatusCodeToString(code)}})
      .Increment();
}

void Metrics::OperationEnded(const v1::Operation& operation) {
  registry_->CountOperation(KindOf(operation), static_cast<absl::StatusCode>(
                                                   operation.error().code()));
  if (operation.has_dump_report()) {
    const v1::DumpReport& report = operation.dump_report();
    Observe(Time::kDump, absl::Seconds(report.times().total_seconds()));
    Observe(Time::kFreeze, absl::Seconds(report.times().freeze_seconds()));
    Observe(Time::kFrozen, absl::Seconds(report.times().frozen_seconds()));
    Add(Bytes::kImage, report.image_bytes());
  }
  if (operation.has_restore_report()) {
    Observe(Time::kRestore,
            absl::Seconds(operation.restore_report().times().total_seconds()));
  }
  if (operation.has_migrate_report()) {
    const v1::MigrateReport& report = operation.migrate_report();
    Observe(Time::kBlackout, absl::Seconds(report.downtime_seconds()));
    Add(Bytes::kImage, report.image_bytes());
  }
}

void Metrics::TransferEnded(Transfer kind, absl::StatusCode code,
                            absl::Duration took) {
  registry_->CountOperation(kind == Transfer::kPush ? "push" : "pull", code);
  if (code == absl::StatusCode::kOk) Observe(Time::kTransfer, took);
}

void Metrics::Frozen(const v1::FreezeResponse& response) {
  if (response.has_one()) {
    Observe(Time::kFreeze, absl::Seconds(response.one().seconds()));
  }
  for (const v1::FreezeSetEntry& group : response.several().groups()) {
    if (group.code() != 0) continue;
    Observe(Time::kFreeze, absl::Seconds(group.report().seconds()));
  }
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(registry_->all->Collect());
}

struct MetricsServer::Http {
  explicit Http(const std::string& address) : exposer(address, 1) {}
  prometheus::Exposer exposer;
};

MetricsServer::MetricsServer(std::string address, std::unique_ptr<Http> http)
    : address_(std::move(address)), http_(std::move(http)) {}

MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& listen, const Metrics& metrics) {
  auto address = rpc::ParseHostPort(listen);
  if (!address.ok()) {
    return WithMessage(address.status(),
                       absl::StrCat("--metrics ", address.status().message()));
  }
  std::unique_ptr<Http> http;
  // The library's one way to say that it cannot.
  try {
    http = std::make_unique<Http>(address->Text());
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", listen, " for metrics (", error.what(),
        "): is it an address of this machine's, by number, and the port "
        "free?"));
  }
  http->exposer.RegisterCollectable(metrics.registry_->all);
  address->port =
      static_cast<uint16_t>(http->exposer.GetListeningPorts().front());
  return std::unique_ptr<MetricsServer>(
      new MetricsServer(address->Text(), std::move(http)));
}

}  // namespace ckpt::agent
