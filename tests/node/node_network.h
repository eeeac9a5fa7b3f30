// Test nodes on a network of their own; the machine's network is not touched.
//
//   CKPT_ASSIGN_OR_RETURN(auto network, NodeNetwork::Create(3));
//   network->node(1).Run({"hostname"});
//
// Each node's eth0 is plugged into a bridge, which is in a network namespace
// where nobody else is.  Pids of node N begin in the N-th part of what pid_max
// leaves, so that a tree dumped in one node can be restored in another without
// meeting a taken pid.
//
// There is nothing on the machine that could be left behind, neither files nor
// names: all of it lives in namespaces, and those go with the inits, which die
// with the thread that made them, even by SIGKILL.
#ifndef CKPT_TESTS_NODE_NODE_NETWORK_H_
#define CKPT_TESTS_NODE_NODE_NETWORK_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/node/delay_line.h"
#include "tests/node/node.h"

namespace ckpt {

// Thread-compatible; the thread that made it must live on.
class NodeNetwork {
 public:
  static constexpr int kMaxNodes = 16;

  // Nodes 1 to `count`, up and connected.  PermissionDenied without root.
  static absl::StatusOr<std::unique_ptr<NodeNetwork>> Create(int count);

  // Kills the nodes and waits until they are gone.  A frozen v1 task would not
  // die: destroy the cgroups of jobs in the nodes before.
  ~NodeNetwork();

  NodeNetwork(const NodeNetwork&) = delete;
  NodeNetwork& operator=(const NodeNetwork&) = delete;

  // Makes a node's link slow, both ways and for good: each frame takes `delay`
  // more, and no more than so many bits pass in a second (0: as many as can).
  // Not for a link that is slow already.
  absl::Status SlowDown(int number, absl::Duration delay,
                        int64_t bits_per_second = 0);

  int count() const { return static_cast<int>(nodes_.size()); }
  const Node& node(int number) const { return nodes_.at(number - 1); }

  // The nodes of the process `maker`, for others than itself.
  static std::vector<Node> FindNodes(pid_t maker);

 private:
  NodeNetwork() = default;

  absl::Status MakeSwitch();
  absl::Status Connect(const Node& node);
  absl::Status RunInSwitch(const std::vector<std::string>& argv) const;

  pid_t switch_pid_ = -1;
  std::vector<Node> nodes_;
  std::vector<std::unique_ptr<DelayLine>> lines_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_NODE_NODE_NETWORK_H_
