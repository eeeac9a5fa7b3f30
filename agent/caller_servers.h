// The servers of local callers: one for each, made when it comes, and let go
// when its place is needed and it has no connection left.
//
//   CallerServers servers([&](const Caller& caller) { return server; });
//   const absl::Status served = servers.Serve(caller, std::move(connection));
//
// Root has places of its own, so that it gets in whoever else is there.
//
// Thread-safe.
#ifndef CKPT_AGENT_CALLER_SERVERS_H_
#define CKPT_AGENT_CALLER_SERVERS_H_

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "agent/caller.h"
#include "agent/worker_pool.h"
#include "base/unique_fd.h"

namespace ckpt::agent {

// What serves one caller.
class CallerServer {
 public:
  virtual ~CallerServer() = default;  // cuts all connections off
  // Takes the connection over, and closes it when the caller has.
  virtual void Serve(UniqueFd connection) = 0;
};

class CallerServers {
 public:
  // Callers with connections at a time, besides root.
  static constexpr size_t kMost = 64;
  // A caller is a user with a set of groups: root may be several.
  static constexpr size_t kMostOfRoot = 8;

  // Null: there cannot be one now.
  using MakeServer =
      std::function<std::unique_ptr<CallerServer>(const Caller& caller)>;

  explicit CallerServers(MakeServer make_server, size_t most = kMost)
      : make_server_(std::move(make_server)), most_(most) {}
  ~CallerServers();
  CallerServers(const CallerServers&) = delete;
  CallerServers& operator=(const CallerServers&) = delete;

  // Unavailable: there is no place, or no server for it; the connection is
  // closed.
  absl::Status Serve(const Caller& caller, UniqueFd connection);

 private:
  struct Entry {
    std::shared_ptr<CallerServer> server;
    std::set<ino_t> connections;  // some may have ended
    size_t look_at = 0;           // so many: look which have
  };

  size_t Count(bool root) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets go of servers without connections.
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const MakeServer make_server_;
  const size_t most_;
  absl::Mutex mutex_;
  std::map<Caller, Entry> servers_ ABSL_GUARDED_BY(mutex_);
  // A server waits for its last calls when it ends.
  WorkerPool enders_{{.threads = 1, .waiting = 1024}};
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_CALLER_SERVERS_H_
