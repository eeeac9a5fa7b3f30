// ckptd: the agent of a node.  Puts the parts together, serves, and stops in
// order.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "agent/data_server.h"
#include "agent/destination_job.h"
#include "agent/end_limit.h"
#include "agent/gate.h"
#include "agent/group_claims.h"
#include "agent/group_desk.h"
#include "agent/grpc_peer.h"
#include "agent/grpc_server.h"
#include "agent/job_desk.h"
#include "agent/local_listener.h"
#include "agent/metrics.h"
#include "agent/migration_desk.h"
#include "agent/migrations.h"
#include "agent/operation_log.h"
#include "agent/operations.h"
#include "agent/options.h"
#include "agent/policy.h"
#include "agent/policy_reloader.h"
#include "agent/policy_source.h"
#include "agent/real_work.h"
#include "agent/run_desk.h"
#include "agent/run_work.h"
#include "agent/self_desk.h"
#include "agent/self_server.h"
#include "agent/self_work.h"
#include "agent/service.h"
#include "agent/service_manager.h"
#include "agent/source_job.h"
#include "agent/tls_server.h"
#include "agent/transfer_desk.h"
#include "agent/worker_pool.h"
#include "base/cancellation.h"
#include "base/host.h"
#include "base/lock_checks.h"
#include "base/status.h"
#include "base/version.h"
#include "freezer/journal.h"
#include "freezer/recover.h"
#include "migrate/journal.h"
#include "rpc/host_port.h"
#include "store/image_store.h"
#include "transfer/receiver.h"

namespace ckpt::agent {
namespace {

// sysexits(3) EX_USAGE, as ckpt.
constexpr int kUsageError = 64;

// Calls that end soon, those that may wait for a job or read a whole image, and
// watches: each takes a thread.
constexpr WorkerPool::Limits kCallLimits = {
    .threads = 8, .waiting = 256, .share = 6};
constexpr WorkerPool::Limits kLongCallLimits = {
    .threads = 16, .waiting = 128, .share = 12};
constexpr WorkerPool::Limits kWatchLimits = {
    .threads = 32, .waiting = 0, .share = 16};
// Streams of images: of one caller, four transfers of five streams.
constexpr WorkerPool::Limits kCarrierLimits = {
    .threads = 40, .waiting = 0, .share = 20};
// The other nodes of migrations: each may take one for as long as a restore;
// and what is asked once that is done, which must not wait for it.
constexpr WorkerPool::Limits kPeerLimits = {
    .threads = 8, .waiting = 64, .share = 6};
constexpr WorkerPool::Limits kVerdictLimits = {
    .threads = 8, .waiting = 64, .share = 6};
// Dumps and restores that wait for a worker.
constexpr size_t kWaitingOperations = 64;
// After a second signal: what an operation needs to be undone.
constexpr absl::Duration kUndoLimit = absl::Seconds(30);
// For calls to end, once operations have; and after a second signal.
constexpr absl::Duration kEndLimit = absl::Seconds(30);
constexpr absl::Duration kHurriedEndLimit = absl::Seconds(5);

Cancellation* stop_asked = nullptr;  // the first signal
Cancellation* stop_now = nullptr;    // the second
int reload_asked = -1;               // an eventfd: a SIGHUP was

void OnHangUp(int /*number*/) {
  const int error = errno;
  const uint64_t one = 1;
  (void)!::write(reload_asked, &one, sizeof(one));
  errno = error;
}

void OnSignal(int /*number*/) {
  (stop_asked->cancelled() ? stop_now : stop_asked)->Cancel();
}

void CatchSignals() {
  static Cancellation& asked = *new Cancellation;
  static Cancellation& now = *new Cancellation;
  stop_asked = &asked;
  stop_now = &now;
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  for (const int number : {SIGINT, SIGTERM}) {
    ::sigaction(number, &action, nullptr);
  }
  // Not ignored: that would pass to CRIU.
  action.sa_handler = +[](int) {};
  ::sigaction(SIGPIPE, &action, nullptr);
  reload_asked = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  action.sa_handler = &OnHangUp;
  action.sa_flags = SA_RESTART;  // it comes while others work
  ::sigaction(SIGHUP, &action, nullptr);
}

void Log(absl::string_view text) {
  const std::string line = absl::StrCat("ckptd: ", text, "\n");
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

// A job that leaves takes a descriptor for each of its processes, and a caller
// of ours one for each connection.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// What a killed agent, or another ckpt, has left.
absl::Status RecoverNode(const ImageStore& store, Operations& operations) {
  CKPT_ASSIGN_OR_RETURN(const v1::RecoverReport report,
                        freezer::Recover(freezer::Journal::Default()));
  for (const v1::RecoveredGroup& group : report.groups()) {
    Log(absl::StrCat("recovered ", group.cgroup(), ": ",
                     !group.problem().empty() ? group.problem()
                     : group.ended() ? "its job has left, and was ended"
                                     : "given back"));
  }
  CKPT_RETURN_IF_ERROR(store.CollectLeftovers());
  return operations.Recover([&store](const v1::Operation& operation) {
    std::string text = ExplainLeftover(operation, store);
    Log(absl::StrCat("operation ", operation.id(),
                     " was under way when ckptd was killed: ", text));
    return text;
  });
}

// How other nodes reach this one, once it is known.
class SourceName {
 public:
  void Set(std::string name) {
    name_ = std::move(name);
    known_.Notify();
  }
  std::string Get() const {
    known_.WaitForNotification();
    return name_;
  }

 private:
  std::string name_;
  absl::Notification known_;
};

// Until the first signal.
void AwaitStop(const ServiceManager& manager) {
  const absl::Duration interval = manager.watchdog_interval();
  const int timeout_ms =
      interval == absl::InfiniteDuration()
          ? -1
          : static_cast<int>(absl::ToInt64Milliseconds(interval));
  while (!stop_asked->cancelled()) {
    pollfd fd = {stop_asked->fd(), POLLIN, 0};
    (void)::poll(&fd, 1, timeout_ms);
    manager.Tell("WATCHDOG=1");
  }
}

// Lets dumps and restores end, or has them undone.
void EndOperations(const Options& options, WorkerPool& pool,
                   Operations& operations) {
  pool.Close();
  constexpr absl::Duration kStep = absl::Milliseconds(100);
  absl::Duration left = options.stop_timeout;
  while (left > absl::ZeroDuration() && !stop_now->cancelled()) {
    if (pool.AwaitIdle(std::min(left, kStep))) return;
    left -= kStep;
  }
  Log("cancelling what is still under way");
  operations.CancelAll();
  if (!pool.AwaitIdle(kUndoLimit)) {
    Log("an operation does not end; its guardian will give its job back");
    ::_exit(static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  }
}

// Null: it is not asked for.
absl::StatusOr<std::unique_ptr<SelfServer>> ServeJobs(const Options& options,
                                                      SelfDesk& desk) {
  const std::string& path = *options.self_socket;
  if (path.empty()) return nullptr;
  auto server = SelfServer::Start(
      path, desk,
      {.ckpt = options.ckpt.empty() ? FindCkpt() : options.ckpt,
       .criu = options.criu});
  if (absl::IsAlreadyExists(server.status())) {
    return absl::AlreadyExistsError(absl::StrCat(
        server.status().message(),
        ": end it (ckpt self-serve, or another ckptd), or give another "
        "--self-socket"));
  }
  CKPT_RETURN_IF_ERROR(server.status());
  Log(absl::StrCat("jobs ask for their checkpoints at ", path));
  return server;
}

// Null: there is to be none, or the port that nobody has asked for is taken.
absl::StatusOr<std::unique_ptr<DataServer>> ServeData(const Options& options,
                                                      DataServerOptions data) {
  using Kind = Options::DataPort::Kind;
  const Kind kind = options.data_port.kind;
  CKPT_ASSIGN_OR_RETURN(data.listen, rpc::ParseHostPort(options.listen));
  if (kind == Kind::kNone) return nullptr;
  if (kind == Kind::kGiven) {
    data.listen.port = options.data_port.port;
  } else if (data.listen.port != 0) {
    ++data.listen.port;
  }
  TransferDesk& desk = data.desk;
  auto server = DataServer::Start(std::move(data));
  if (!server.ok() && kind == Kind::kDefault) {
    Log(absl::StrCat("data come by gRPC alone, which is slower: ",
                     server.status().message()));
    return nullptr;
  }
  CKPT_RETURN_IF_ERROR(server.status());
  desk.OfferDataPort((*server)->port());
  Log(absl::StrCat("data of images come by TLS, to port ", (*server)->port()));
  return server;
}

// Calls that do not end leave what a killed agent leaves.
void EndAtOnce() {
  Log("calls do not end; what they did is given back as after a crash");
  ::_exit(static_cast<int>(absl::StatusCode::kDeadlineExceeded));
}

absl::Status Serve(const Options& options, const ServiceManager& manager) {
  EndLimit end_limit(&EndAtOnce);  // outlives all the rest
  PolicySource policy_source(options.policy_file, kDefaultPolicyFile);
  CKPT_ASSIGN_OR_RETURN(Policy policy, policy_source.Load());
  const ImageStore store =
      options.store.empty() ? ImageStore() : ImageStore(options.store);
  const std::string socket_path =
      options.socket.empty() ? RunDirectory() + "/ckptd.sock" : options.socket;
  Metrics metrics;
  FileOperationLog log(RunDirectory() + "/operations");
  Gate gate(std::move(policy), AuditTo(STDERR_FILENO));
  GroupClaims claims;
  RealGroupWork group_work;
  RealJobWork job_work(store, options.criu);
  WorkerPool operation_pool(
      {.threads = options.workers, .waiting = kWaitingOperations});
  Operations operations(operation_pool, log);
  RealSelfWork self_work(UserNames::Real());
  SelfDesk self_desk(gate, self_work, store.directory());
  GroupDesk group_desk(gate, claims, group_work);
  JobDesk job_desk(gate, claims, operations, job_work);
  RealRunWork run_work(store);
  RunDesk run_desk(gate, claims, job_work, run_work);
  WorkerPool calls(kCallLimits);
  WorkerPool long_calls(kLongCallLimits);
  WorkerPool watches(kWatchLimits);
  transfer::Receiver receiver(store);
  WorkerPool carriers(kCarrierLimits);
  operations.OnEnd([&metrics](const v1::Operation& operation) {
    metrics.OperationEnded(operation);
  });
  if (::mkdir(store.directory().c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoToStatus(errno, "make directory", store.directory());
  }
  CKPT_ASSIGN_OR_RETURN(
      const auto journal,
      migrate::FileJournal::Open(store.directory() + "/.migrations"));
  RealSourceJob source_job(store, options.criu, *journal);
  RealDestinationJob destination_job(store, options.criu);
  SourceName source_name;
  Migrations migrations(*journal, source_job, destination_job,
                        [&](const v1::MigrationRecord& record,
                            const Migrations::OnProgress& on_progress) {
                          return ConnectPeer({.node = record.peer(),
                                              .tls = options.tls,
                                              .source = source_name.Get(),
                                              .on_progress = on_progress,
                                              .metrics = &metrics});
                        });
  TransferDesk transfer_desk(gate, store, receiver, metrics,
                             [&migrations](const v1::ImageAnnouncement& begun,
                                           const std::string& image_id) {
                               return migrations.NoteArrival(
                                   begun.transfer_id(), begun.image(),
                                   image_id);
                             });
  MigrationDesk migration_desk(gate, claims, operations, job_work, migrations);
  WorkerPool peers(kPeerLimits);
  WorkerPool verdicts(kVerdictLimits);
  const Desks desks = {metrics,       group_desk, job_desk,       run_desk,
                       operations,    calls,      long_calls,     watches,
                       transfer_desk, carriers,   migration_desk, peers,
                       verdicts};

  if (::mkdir(RunDirectory().c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoToStatus(errno, "make directory", RunDirectory());
  }
  // First the socket: only one agent at a time may recover.
  CKPT_ASSIGN_OR_RETURN(UniqueFd socket,
                        ListenLocally(socket_path, options.group));
  // What has left must not be given back with the groups.
  if (absl::Status recovered = migrations.Recover(); !recovered.ok()) {
    Log(absl::StrCat("migrations that were under way: ", recovered.message()));
  }
  CKPT_RETURN_IF_ERROR(RecoverNode(store, operations));
  CKPT_ASSIGN_OR_RETURN(auto self_server, ServeJobs(options, self_desk));
  EnableGrpcExtras();
  std::unique_ptr<MetricsServer> metrics_server;
  if (!options.metrics.empty()) {
    CKPT_ASSIGN_OR_RETURN(metrics_server,
                          MetricsServer::Start(options.metrics, metrics));
    Log(absl::StrCat("metrics are at http://", metrics_server->address(),
                     "/metrics"));
  }
  WatchHandshakes(
      [&gate](const std::string& reason) { gate.RefusedConnection(reason); },
      &Log);
  std::unique_ptr<TlsServer> remote;
  if (!options.listen.empty()) {
    CKPT_ASSIGN_OR_RETURN(
        remote, TlsServer::Start(
                    desks, {.listen = options.listen, .files = options.tls}));
  }
  std::unique_ptr<DataServer> data_server;
  if (remote != nullptr) {
    CKPT_ASSIGN_OR_RETURN(
        data_server,
        ServeData(options, {.listen = {},
                            .files = options.tls,
                            .desk = transfer_desk,
                            .carriers = carriers,
                            .metrics = metrics,
                            .refused = [&gate](const std::string& reason) {
                              gate.RefusedConnection(reason);
                            }}));
  }
  // The last ones, and so nothing fails once somebody can call: what was begun
  // by then would have to be ended in order.
  LocalListener listener(
      std::move(socket), UserNames::Real(),
      [&desks](const Caller& caller) { return MakeGrpcServer(desks, caller); },
      [&gate](const std::string& reason) { gate.RefusedConnection(reason); });
  Log(absl::StrCat("version ", kVersion, " listens on unix:", socket_path,
                   remote == nullptr
                       ? ""
                       : absl::StrCat(" and, by TLS, on ", remote->address())));
  source_name.Set(!options.advertise.empty() ? options.advertise
                  : remote != nullptr        ? remote->address()
                                             : "unix:" + socket_path);
  migrations.Start();
  manager.Tell("READY=1");
  // Not before: the manager takes the end of a reload for that of the start.
  const PolicyReloader reloader({.asked_fd = reload_asked,
                                 .stop = *stop_asked,
                                 .load = [&] { return policy_source.Load(); },
                                 .gate = gate,
                                 .manager = manager,
                                 .log = &Log});
  AwaitStop(manager);
  manager.Tell("STOPPING=1");
  Log("stopping");
  self_server.reset();
  listener.Stop();
  ::unlink(socket_path.c_str());
  // What is asked shortly is answered to the end, such as a thaw, or what has
  // become of a migration.
  for (WorkerPool* const pool : {&long_calls, &watches, &carriers, &peers}) {
    pool->Close();
  }
  EndOperations(options, operation_pool, operations);
  end_limit.Arm(kEndLimit, *stop_now, kHurriedEndLimit);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  SkipLockChecksIfOptimized();
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto options = ParseOptions(words, UserNames::Real());
  if (!options.ok()) {
    absl::FPrintF(stderr, "ckptd: %s; see 'ckptd --help'\n",
                  options.status().message());
    return kUsageError;
  }
  if (options->help || options->version) {
    std::fputs(options->help ? Usage().c_str()
                             : absl::StrCat("ckptd ", kVersion, "\n").c_str(),
               stdout);
    return 0;
  }
  CatchSignals();
  RaiseDescriptorLimit();
  const ServiceManager manager = ServiceManager::FromEnvironment();
  const absl::Status status =
      ::geteuid() == 0
          ? Serve(*options, manager)
          : absl::PermissionDeniedError("ckptd needs root; nothing was done");
  if (status.ok()) return 0;
  Log(absl::StrCat(absl::StatusCodeToString(status.code()), ": ",
                   status.message()));
  return static_cast<int>(status.code());
}

}  // namespace
}  // namespace ckpt::agent

int main(int argc, char** argv) { return ckpt::agent::Main(argc, argv); }
