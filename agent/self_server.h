// The agent's service for jobs that checkpoint themselves, in a thread.
//
//   CKPT_ASSIGN_OR_RETURN(auto server,
//                         SelfServer::Start(path, desk, programs));
//
// Every user may ask: what it gets is for the desk to say.  The destructor
// takes no more calls; dumps that are at work go on, and tell their jobs.
#ifndef CKPT_AGENT_SELF_SERVER_H_
#define CKPT_AGENT_SELF_SERVER_H_

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "agent/self_desk.h"
#include "base/cancellation.h"
#include "checkpoint/self_service.h"

namespace ckpt::agent {

class SelfServer {
 public:
  // Borrows `desk` for its lifetime.  Errors as SelfPort::Listen().
  static absl::StatusOr<std::unique_ptr<SelfServer>> Start(
      const std::string& path, SelfDesk& desk,
      const checkpoint::SelfPrograms& programs);
  ~SelfServer();
  SelfServer(const SelfServer&) = delete;
  SelfServer& operator=(const SelfServer&) = delete;

 private:
  SelfServer(std::unique_ptr<checkpoint::SelfPort> port, SelfDesk& desk,
             const checkpoint::SelfPrograms& programs);

  Cancellation stop_;
  checkpoint::SelfService service_;
  std::thread thread_;
};

// The `ckpt` that was installed with this program: beside it, or in PATH; or in
// /usr/local/bin, where nothing is found.
std::string FindCkpt();

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_SELF_SERVER_H_
