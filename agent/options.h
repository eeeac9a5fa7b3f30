// The command line of ckptd.
#ifndef CKPT_AGENT_OPTIONS_H_
#define CKPT_AGENT_OPTIONS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "agent/policy.h"
#include "rpc/tls_files.h"

namespace ckpt::agent {

inline constexpr char kDefaultPolicyFile[] = "/etc/ckpt/policy";

struct Options {
  bool help = false;
  bool version = false;
  std::string socket;           // "": ckptd.sock in the run directory
  absl::optional<gid_t> group;  // who besides root may connect
  std::string policy_file;      // "": kDefaultPolicyFile, if it is there
  std::string listen;           // HOST:PORT for other machines; "": none
  // Where data of images come in, on the host of `listen`.
  struct DataPort {
    enum class Kind { kDefault, kNone, kGiven };
    Kind kind = Kind::kDefault;  // the one after that of `listen`, if free
    uint16_t port = 0;           // if given; 0: any free one
  };
  DataPort data_port;
  std::string metrics;    // HOST:PORT for Prometheus; "": none
  std::string advertise;  // how they reach it; "": as it listens
  rpc::TlsFiles tls = rpc::TlsFiles::Default();
  std::string store;  // "": the default one
  std::string criu;   // "": where it is looked for by itself
  std::string ckpt;   // "": the same
  // Where jobs ask for their checkpoints; "": nowhere.  ParseOptions() sets it.
  absl::optional<std::string> self_socket;
  size_t workers = 4;  // dumps and restores at a time
  absl::Duration stop_timeout = absl::Seconds(60);
};

// InvalidArgument names the word that is wrong.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& words,
                                     UserNames& names);

std::string Usage();

}  // namespace ckpt::agent

#endif  // CKPT_AGENT_OPTIONS_H_
