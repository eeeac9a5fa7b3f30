// A test node: a machine of its own as far as ckpt can tell, on this machine.
//
// It has its own PID, mount, network, UTS and IPC namespaces, an init that
// reaps, /proc of its own, and file systems of its own on /run and /run/store;
// the rest of the file tree, and the cgroup hierarchies, are the machine's.
//
//   CKPT_ASSIGN_OR_RETURN(auto network, NodeNetwork::Create(3));
//   const Node& node = network->node(1);
//   node.Run({"criu", "dump", "-D", "/run/store/a", ...});
//   node.CopyTo("/run/store/a", network->node(2));
//   WaitForBeats(node.OutsidePath("/run/status"), ...);
#ifndef CKPT_TESTS_NODE_NODE_H_
#define CKPT_TESTS_NODE_NODE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/job.h"

namespace ckpt {

// Where a node keeps images: a file system of its own.
inline constexpr char kNodeStore[] = "/run/store";

// Names a node; does not keep it alive.  Thread-compatible.
class Node {
 public:
  // `init_pid` is in the caller's PID namespace.
  Node(int number, pid_t init_pid) : number_(number), init_pid_(init_pid) {}

  int number() const { return number_; }
  pid_t init_pid() const { return init_pid_; }

  // Of eth0, from the start: "10.77.0.NUMBER".
  std::string address() const;

  // How a file of the node is called outside of it.
  std::string OutsidePath(const std::string& path) const;

  // RunCommand() in the node.
  absl::StatusOr<CommandResult> Run(const std::vector<std::string>& argv,
                                    const CommandOptions& options = {}) const;

  // The same for a command whose failure is an error: Internal, with what it
  // has printed.
  absl::Status RunOrError(const std::vector<std::string>& argv) const;

  // Job::Start() in the node: the job's pid is the node's, its parent the
  // node's init, and its files are opened in the node.
  absl::StatusOr<Job> Start(Job::Options options) const;

  // Gives eth0 an address (of 10.77.0.0/24) or takes one from it.  The others
  // in the network are told by Announce() only: as long as they do not know,
  // their packets go nowhere and nobody answers with a reset, so a connection
  // survives any order of
  //   dump, old.RemoveAddress(), new.AddAddress(), restore, new.Announce().
  absl::Status AddAddress(const std::string& address) const;
  absl::Status RemoveAddress(const std::string& address) const;

  // Gives the node an address that nobody else is told of, and that it answers
  // no question for: it may be another node's at the same time, and packets go
  // on to that one.  AddAddress() makes it an ordinary one.
  absl::Status HoldAddress(const std::string& address) const;

  // Sends a gratuitous ARP: the address is at this node's eth0 now.
  absl::Status Announce(const std::string& address) const;

  // Copies a file or directory to the same path of another node; it must not
  // be there yet.
  absl::Status CopyTo(const std::string& path, const Node& other) const;

 private:
  int number_;
  pid_t init_pid_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_NODE_NODE_H_
