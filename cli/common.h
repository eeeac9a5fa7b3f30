// Flags that several verbs share, and their meaning.
#ifndef CKPT_CLI_COMMON_H_
#define CKPT_CLI_COMMON_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "freezer/cgroup.h"
#include "proto/checkpoint.pb.h"
#include "rpc/client.h"
#include "store/image_store.h"

namespace ckpt::cli {

// `own` and the shared ones.
//
// --cgroup, --freezer; --cgroup with `several` may be repeated
std::vector<Flag> WithGroupFlags(const std::vector<Flag>& own,
                                 bool several = false);
std::vector<Flag> WithStoreFlag(std::vector<Flag> own);  // --store
std::vector<Flag> WithCriuFlags(std::vector<Flag> own);  // CRIU's own options
std::vector<Flag> WithTlsFlags(std::vector<Flag> own);   // --tls-...
std::vector<Flag> WithNodeFlag(std::vector<Flag> own);   // --node, --tls-...

// --freezer auto|v1|v2.
absl::StatusOr<v1::Hierarchy> HierarchyFlag(const Arguments& arguments);
// The group of --cgroup and --freezer.
absl::StatusOr<std::unique_ptr<freezer::Cgroup>> GroupFlag(
    const Arguments& arguments);
// The groups of --cgroup, which may be repeated, for a request.
template <typename Request>
absl::Status SetGroups(const Arguments& arguments, Request& request) {
  if (!arguments.Has("cgroup")) {
    return absl::InvalidArgumentError("name the group: --cgroup X");
  }
  CKPT_ASSIGN_OR_RETURN(const v1::Hierarchy hierarchy,
                        HierarchyFlag(arguments));
  request.set_hierarchy(hierarchy);
  for (const std::string& name : arguments.GetAll("cgroup")) {
    request.add_cgroups(name);
  }
  return absl::OkStatus();
}
// The agent of this machine, where it listens by default.
inline constexpr char kLocalAgent[] = "unix:/run/ckpt/ckptd.sock";
// The agent of --node, with which a verb does its work elsewhere.  The flags
// that name a file of this machine (--store, --criu, ...) do not go with it.
// `without` is the agent where the flag is not there.  For a verb that looks
// for images here as well, `store_goes_with_it`.
absl::StatusOr<std::unique_ptr<rpc::Client>> NodeFlag(
    const Arguments& arguments, const std::string& without = "",
    bool store_goes_with_it = false);
// How to reach an agent: --tls-...
rpc::ClientOptions NodeOptions(const Arguments& arguments,
                               const std::string& node);
// An agent that another flag names, with the --tls flags of WithNodeFlag().
absl::StatusOr<std::unique_ptr<rpc::Client>> NodeAt(const Arguments& arguments,
                                                    const std::string& node);
// Gives back what ended ckpts have left (freezer/recover.h), as every verb does
// first that changes anything; a line on standard error tells of each group.
void RecoverFirst();
// --output-policy; unspecified when it is not there.
absl::StatusOr<v1::OutputPolicy> OutputPolicyFlag(const Arguments& arguments);
// "KILL", "SIGKILL" or "9", as --`flag` has it.
absl::StatusOr<int> SignalNumber(absl::string_view flag,
                                 const std::string& text);
ImageStore StoreFlag(const Arguments& arguments);
// The report of a freeze or a thaw, of one group or several.
Output DescribeFreeze(v1::FreezeResponse response);
// CRIU's options; config files and descriptors are checked.
absl::StatusOr<v1::CriuOptions> CriuFlags(const Arguments& arguments);

}  // namespace ckpt::cli

#endif  // CKPT_CLI_COMMON_H_
