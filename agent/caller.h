// Who calls: proven by the kernel or by a certificate, never by what the caller
// says.
#ifndef CKPT_AGENT_CALLER_H_
#define CKPT_AGENT_CALLER_H_

#include <sys/types.h>

#include <string>
#include <tuple>
#include <vector>

#include "absl/types/optional.h"

namespace ckpt::agent {

// Value type.
struct Caller {
  // Of a process of this machine (SO_PEERCRED, SO_PEERGROUPS: unix(7)).
  absl::optional<uid_t> uid;
  std::vector<gid_t> gids;  // its own and the supplementary ones, sorted

  // Of another machine: the DNS names and URIs of its certificate, sorted.
  std::vector<std::string> clients;

  std::string address;  // where it calls from, for the audit log; may be empty
  std::string name;     // for messages and the audit log: "uid 0 (root)"

  // The same rights, whatever the name.
  friend bool operator<(const Caller& one, const Caller& other) {
    return std::tie(one.uid, one.gids, one.clients) <
           std::tie(other.uid, other.gids, other.clients);
  }
};

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_CALLER_H_
