// Accepts local connections, and knows who each is from before gRPC sees it.
//
//   CKPT_ASSIGN_OR_RETURN(UniqueFd socket, ListenLocally(path, gid));
//   LocalListener listener(std::move(socket), names,
//                          [&](const Caller& caller) { return server; });
//
// gRPC tells a service nothing of the process behind a unix socket.  So the
// kernel is asked here (SO_PEERCRED, SO_PEERGROUPS), and the connection is
// given to a gRPC server that serves this caller alone: its service has the
// caller built in.  Servers are made as callers come, and kept; there are at
// most kMaxCallers, and further ones are hung up on.
//
// Thread-safe.
#ifndef CKPT_AGENT_LOCAL_LISTENER_H_
#define CKPT_AGENT_LOCAL_LISTENER_H_

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "agent/caller.h"
#include "agent/policy.h"
#include "base/cancellation.h"
#include "base/unique_fd.h"

namespace ckpt::agent {

// A listening socket at `path`, of mode 0660, of root and `gid` (or 0600).
// AlreadyExists when an agent listens there; one that a dead agent has left is
// replaced.
absl::StatusOr<UniqueFd> ListenLocally(const std::string& path,
                                       absl::optional<gid_t> gid);

// A process with that user id and these groups, in any order.
Caller MakeCaller(uid_t uid, std::vector<gid_t> gids, UserNames& names);

// Who is at the other end of a connected unix socket.
absl::StatusOr<Caller> CallerOf(int socket, UserNames& names);

// What serves one caller.
class CallerServer {
 public:
  virtual ~CallerServer() = default;  // cuts all connections off
  // Takes the connection over.
  virtual void Serve(UniqueFd connection) = 0;
};

class LocalListener {
 public:
  static constexpr size_t kMaxCallers = 64;

  using MakeServer =
      std::function<std::unique_ptr<CallerServer>(const Caller& caller)>;

  LocalListener(UniqueFd socket, UserNames& names, MakeServer make_server);
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
  const MakeServer make_server_;
  Cancellation stop_;
  absl::Mutex mutex_;
  std::map<Caller, std::unique_ptr<CallerServer>> servers_
      ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_LOCAL_LISTENER_H_
