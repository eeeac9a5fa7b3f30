#include "agent/data_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/caller.h"
#include "agent/caller_source.h"
#include "agent/tls_server.h"
#include "base/clock.h"
#include "base/status.h"
#include "proto/transfer.pb.h"
#include "rpc/data_frame.h"
#include "rpc/status_proto.h"

namespace ckpt::agent {
namespace {

constexpr int kBacklog = 64;
constexpr WorkerPool::Limits kHandshakeLimits = {.threads = 16, .waiting = 64};
constexpr WorkerPool::Limits kCloserLimits = {.threads = 4, .waiting = 64};
// A caller gives up sooner (rpc/data_stream.h).
constexpr absl::Duration kHandshakeLimit = absl::Seconds(2);
// As for gRPC (agent/transfer_reactors.cc).
constexpr absl::Duration kBeginLimit = absl::Seconds(30);
constexpr absl::Duration kIdleLimit = absl::Minutes(10);
// How long what a refused caller still sends is thrown away, so that it gets
// the answer.
constexpr absl::Duration kCloseLimit = absl::Seconds(2);

// One further stream of a push.
class DataCaller : public PushCaller {
 public:
  explicit DataCaller(rpc::TlsConnection& connection)
      : connection_(connection),
        reader_([&connection](char* bytes, size_t count) {
          return connection.Read(bytes, count);
        }) {
    SetLimit(kBeginLimit);
  }

  bool Read(v1::PushRequest* request, AlignedBytes* apart) override {
    connection_.SetReadDeadline(Clock::Real().Now() + limit_);
    return reader_.Read(request, apart);
  }

  bool Write(const v1::PushReply& reply) override {
    SetLimit(kIdleLimit);
    v1::DataReply answer;
    *answer.mutable_reply() = reply;
    return rpc::WriteReply(connection_, answer);
  }

  bool Joins() const override { return true; }

  // Why it ended, if not by what the desk says.
  const absl::Status& status() const { return reader_.status(); }

 private:
  void SetLimit(absl::Duration limit) {
    limit_ = limit;
    connection_.SetLimit(limit);
  }

  rpc::TlsConnection& connection_;
  rpc::DataReader reader_;
  absl::Duration limit_;  // for a message
};

absl::StatusOr<UniqueFd> ListenOn(const addrinfo& address) {
  UniqueFd socket(::socket(address.ai_family,
                           SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.ok()) return ErrnoToStatus(errno, "make a socket");
  const int on = 1;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return ErrnoToStatus(errno, "listen");
  }
  return socket;
}

absl::StatusOr<uint16_t> PortOf(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) !=
      0) {
    return ErrnoToStatus(errno, "getsockname");
  }
  return ntohs(address.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                   : reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

// At the first address of the host that can be listened on.
absl::StatusOr<UniqueFd> ListenAt(const rpc::HostPort& place) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(place.host.c_str(), absl::StrCat(place.port).c_str(),
                    &hints, &found) != 0) {
    return absl::UnavailableError("the host has no address");
  }
  absl::StatusOr<UniqueFd> socket = absl::UnavailableError("no address");
  for (const addrinfo* next = found; next != nullptr && !socket.ok();
       next = next->ai_next) {
    socket = ListenOn(*next);
  }
  ::freeaddrinfo(found);
  return socket;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataServer>> DataServer::Start(
    DataServerOptions options) {
  CKPT_ASSIGN_OR_RETURN(rpc::TlsIdentity identity, rpc::LoadTls(options.files));
  auto socket = ListenAt(options.listen);
  if (!socket.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", options.listen.Text(), ", the port for data: ",
        socket.status().message(), "; give another --data-port, or none"));
  }
  CKPT_ASSIGN_OR_RETURN(const uint16_t port, PortOf(socket->get()));
  return absl::WrapUnique(new DataServer(std::move(options), *std::move(socket),
                                         port, std::move(identity)));
}

DataServer::DataServer(DataServerOptions options, UniqueFd socket,
                       uint16_t port, rpc::TlsIdentity identity)
    : options_(std::move(options)),
      socket_(std::move(socket)),
      port_(port),
      identity_(std::move(identity)),
      loaded_(Clock::Real().Now()),
      closers_(kCloserLimits),
      handshakes_(kHandshakeLimits),
      thread_([this] { Run(); }) {}

DataServer::~DataServer() {
  stop_.Cancel();
  thread_.join();
  absl::MutexLock lock(&mutex_);
  ending_ = true;
  for (const Connection& connection : connections_) connection->Cut();
  mutex_.Await(absl::Condition(
      +[](std::set<Connection>* all) { return all->empty(); }, &connections_));
}

void DataServer::Run() {
  while (!stop_.cancelled()) {
    pollfd fds[] = {{socket_.get(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    if (::poll(fds, 2, -1) > 0 && fds[0].revents != 0) Accept();
  }
}

void DataServer::Accept() {
  auto connection = std::make_shared<UniqueFd>(
      ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection->ok()) {
    // No descriptor is left: not to spin until there is one.
    if (errno == EMFILE || errno == ENFILE) ::poll(nullptr, 0, 100);
    return;
  }
  const absl::Status taken = handshakes_.Submit(
      [this, connection] { Welcome(std::move(*connection)); });
  if (!taken.ok()) options_.refused("too many connections at a time");
}

rpc::TlsIdentity DataServer::Identity() {
  const absl::MutexLock lock(&mutex_);
  const absl::Time now = Clock::Real().Now();
  if (now >= loaded_ + TlsServer::kRotationInterval) {
    loaded_ = now;
    // Until new files fit together the old ones are used.
    auto identity = rpc::LoadTls(options_.files);
    if (identity.ok()) identity_ = *std::move(identity);
  }
  return identity_;
}

bool DataServer::Enter(const Connection& connection) {
  const absl::MutexLock lock(&mutex_);
  if (!ending_) connections_.insert(connection);
  return !ending_;
}

void DataServer::Leave(const Connection& connection) {
  const absl::MutexLock lock(&mutex_);
  connections_.erase(connection);
}

void DataServer::Welcome(UniqueFd socket) {
  if (stop_.cancelled()) return;
  auto accepted = rpc::TlsConnection::Accept(std::move(socket), Identity(),
                                             kHandshakeLimit);
  if (!accepted.ok()) {
    options_.refused(std::string(accepted.status().message()));
    return;
  }
  const Connection connection = *std::move(accepted);
  const Caller caller =
      CallerOfNames(connection->PeerNames(), connection->PeerAddress());
  if (!Enter(connection)) return;
  const absl::Status taken = options_.carriers.Submit(
      [this, caller, connection] { Serve(caller, connection); }, caller.name);
  if (!taken.ok()) End(connection, TooManyTransfers());
}

void DataServer::Serve(const Caller& caller, const Connection& connection) {
  DataCaller call(*connection);
  absl::Status ended = options_.desk.Push(caller, call);
  if (!call.status().ok()) ended = call.status();
  End(connection, ended);
}

void DataServer::End(const Connection& connection, const absl::Status& status) {
  options_.metrics.CountCall("PushImage", status.code());
  v1::DataReply last;
  *last.mutable_end() = rpc::ToStatusProto(status);
  (void)rpc::WriteReply(*connection, last);
  // Nobody's carrier waits until the caller has read that.
  const absl::Status closing = closers_.Submit([this, connection] {
    connection->Close(kCloseLimit);
    Leave(connection);
  });
  if (!closing.ok()) Leave(connection);
}

}  // namespace ckpt::agent
