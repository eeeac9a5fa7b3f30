// Loads the policy anew whenever it is asked to, and puts it in force.
//
//   const PolicyReloader reloader({.asked_fd = asked_fd,  // of SIGHUP
//                                  .stop = *stop_asked,
//                                  .load = [&] { return source.Load(); },
//                                  .gate = gate,
//                                  .manager = manager,
//                                  .log = &Log});
//
// In a thread of its own: looking up the users that a policy names may take
// long, and is not to hold up the watchdog.  A stop waits for a load that is
// under way (EndLimit bounds it).
#ifndef CKPT_AGENT_POLICY_RELOADER_H_
#define CKPT_AGENT_POLICY_RELOADER_H_

#include <functional>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/gate.h"
#include "agent/policy.h"
#include "agent/service_manager.h"
#include "base/cancellation.h"

namespace ckpt::agent {

// Thread-safe.
class PolicyReloader {
 public:
  // All that is borrowed outlives the reloader.
  struct Parts {
    // A non-blocking eventfd, borrowed; each write asks.  Several at once, or
    // during a load, are answered by one load after them.
    int asked_fd;
    const Cancellation& stop;  // no load begins after this
    // What it cannot load leaves the policy that is in force.  Called by the
    // reloader's thread.
    std::function<absl::StatusOr<Policy>()> load;
    Gate& gate;
    // Is told when a load begins and ends, and what became of it.
    const ServiceManager& manager;
    // Called with one line, without its end, for each load, once it is done.
    std::function<void(absl::string_view line)> log;
  };

  explicit PolicyReloader(Parts parts);
  // `stop` is cancelled.  Waits for a load that is under way.
  ~PolicyReloader();
  PolicyReloader(const PolicyReloader&) = delete;
  PolicyReloader& operator=(const PolicyReloader&) = delete;

 private:
  void Run() const;
  void Reload() const;

  const Parts parts_;
  std::thread thread_;
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_POLICY_RELOADER_H_
