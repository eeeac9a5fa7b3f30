// What the agent counts and measures, for Prometheus.
//
//   Metrics metrics;
//   metrics.Observe(Metrics::Time::kBlackout, absl::Milliseconds(120));
//   metrics.Add(Metrics::Bytes::kSent, chunk.size());
//   CKPT_ASSIGN_OR_RETURN(const auto server,
//                         MetricsServer::Start("127.0.0.1:9464", metrics));
//
// docs/operations.md lists the names.  There is no label that callers choose: a
// reader learns how much is done, and not to whom.
//
// Thread-safe.
#ifndef CKPT_AGENT_METRICS_H_
#define CKPT_AGENT_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/agent.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::agent {

class Metrics {
 public:
  // Histograms, ckpt_NAME_seconds.
  enum class Time {
    kFreeze,    // from the request until all are frozen
    kFrozen,    // how long a job stood still for a dump
    kDump,      // a dump, from start to end
    kTransfer,  // of an image to or from another node
    kRestore,   // a restore, from start to end
    kBlackout,  // of a migration: from the freeze until the job runs there
  };
  // Counters, ckpt_bytes_total{kind=...}.
  enum class Bytes {
    kImage,     // written into images
    kSent,      // to other nodes, as they are on the wire
    kReceived,  // from them
  };

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void Observe(Time time, absl::Duration took);
  void Add(Bytes kind, uint64_t bytes);

  // A call of the API has ended: ckpt_calls_total{method, code}.
  void CountCall(absl::string_view method, absl::StatusCode code);

  // An operation has ended: ckpt_operations_total{kind, code}, and the times
  // and bytes of its report.
  void OperationEnded(const v1::Operation& operation);
  // The same for an image that was taken in (PushImage) or given out
  // (PullImage); the time is that of one that got through.
  enum class Transfer { kPush, kPull };
  void TransferEnded(Transfer kind, absl::StatusCode code, absl::Duration took);
  // The times of groups that were frozen.
  void Frozen(const v1::FreezeResponse& response);

  // All of it, as Prometheus reads it.
  std::string Text() const;

 private:
  friend class MetricsServer;
  struct Registry;  // keeps the library's headers out of this one
  const std::unique_ptr<Registry> registry_;
};

// GET /metrics by HTTP, for as long as it lives.
class MetricsServer {
 public:
  // `listen` is ADDRESS:PORT; port 0 is any free one.  InvalidArgument, or
  // Unavailable when nothing can listen there.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& listen, const Metrics& metrics);

  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // With the port that it has.
  const std::string& address() const { return address_; }

 private:
  struct Http;
  MetricsServer(std::string address, std::unique_ptr<Http> http);

  const std::string address_;
  const std::unique_ptr<Http> http_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_METRICS_H_
