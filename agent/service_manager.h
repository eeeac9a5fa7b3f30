// What systemd, or another service manager that speaks its protocol, is told:
// one datagram to $NOTIFY_SOCKET (sd_notify(3)).
//
//   ServiceManager manager = ServiceManager::FromEnvironment();
//   manager.Tell("READY=1");
//   ... every manager.watchdog_interval(): manager.Tell("WATCHDOG=1") ...
//
// Without a manager nothing happens.  Thread-compatible.
#ifndef CKPT_AGENT_SERVICE_MANAGER_H_
#define CKPT_AGENT_SERVICE_MANAGER_H_

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ckpt::agent {

class ServiceManager {
 public:
  // `address`: a path, or "@" and an abstract name; "": no manager.
  // `watchdog_usec`: $WATCHDOG_USEC, or "".
  ServiceManager(std::string address, const std::string& watchdog_usec);

  // Reads the variables and removes them, so that no child acts on them.
  static ServiceManager FromEnvironment();

  // What cannot be sent is lost.
  void Tell(absl::string_view state) const;

  // That a reload begins, and when; Tell("READY=1") ends it.
  void TellReloading() const;

  // Half of what the manager waits for; infinite: it does not.
  absl::Duration watchdog_interval() const { return watchdog_interval_; }

 private:
  std::string address_;
  absl::Duration watchdog_interval_ = absl::InfiniteDuration();
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_SERVICE_MANAGER_H_
