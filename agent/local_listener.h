// Accepts local connections, and knows who each is from before gRPC sees it.
//
//   CKPT_ASSIGN_OR_RETURN(UniqueFd socket, ListenLocally(path, gid));
//   LocalListener listener(std::move(socket), names,
//                          [&](const Caller& caller) { return server; },
//                          [&](const std::string& reason) { ... });
//
// gRPC tells a service nothing of the process behind a unix socket.  So the
// kernel is asked here (SO_PEERCRED, SO_PEERGROUPS), and the connection is
// given to a gRPC server that serves this caller alone: its service has the
// caller built in (agent/caller_servers.h).
//
// Thread-safe.
#ifndef CKPT_AGENT_LOCAL_LISTENER_H_
#define CKPT_AGENT_LOCAL_LISTENER_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "agent/caller.h"
#include "agent/caller_servers.h"
#include "agent/policy.h"
#include "base/cancellation.h"
#include "base/unique_fd.h"

namespace ckpt::agent {

// A listening socket at `path`, of mode 0660, of root and `gid` (or 0600).
// AlreadyExists when an agent listens there, and does so for all of `patience`:
// one that was killed may take a moment to go.  One that a dead agent has left
// is replaced.
absl::StatusOr<UniqueFd> ListenLocally(
    const std::string& path, absl::optional<gid_t> gid,
    absl::Duration patience = absl::Seconds(5));

// A process with that user id and these groups, in any order.
Caller MakeCaller(uid_t uid, std::vector<gid_t> gids, UserNames& names);

// Who is at the other end of a connected unix socket.
absl::StatusOr<Caller> CallerOf(int socket, UserNames& names);

class LocalListener {
 public:
  // Called with why a connection was closed at once.
  using Refused = std::function<void(const std::string& reason)>;

  LocalListener(UniqueFd socket, UserNames& names,
                CallerServers::MakeServer make_server, Refused refused);
  ~LocalListener();
  LocalListener(const LocalListener&) = delete;
  LocalListener& operator=(const LocalListener&) = delete;

  // Accepts no more.  Connections that are there go on.
  void Stop();

 private:
  void Run();
  void Accept();

  const UniqueFd socket_;
  UserNames& names_;
  const Refused refused_;
  CallerServers servers_;
  Cancellation stop_;
  std::thread thread_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_LOCAL_LISTENER_H_
