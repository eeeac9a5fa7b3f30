#include "cli/common.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/render.h"
#include "freezer/journal.h"
#include "freezer/lookup.h"
#include "freezer/recover.h"
#include "node/groups.h"
#include "rpc/channel.h"

namespace ckpt::cli {
namespace {

std::vector<Flag> Append(std::vector<Flag> own,
                         const std::vector<Flag>& shared) {
  own.insert(own.end(), shared.begin(), shared.end());
  return own;
}

// "fd[3]:pipe:[1234]", as CRIU spells it.
absl::StatusOr<v1::InheritFd> ParseInheritFd(const std::string& text) {
  absl::string_view rest = text;
  v1::InheritFd inherit;
  const size_t close = rest.find("]:");
  int32_t fd = -1;
  if (!absl::ConsumePrefix(&rest, "fd[") || close == absl::string_view::npos ||
      !absl::SimpleAtoi(rest.substr(0, close - 3), &fd) || fd < 0 ||
      close + 2 == text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--inherit-fd '", text, "' is not of the form fd[N]:KEY"));
  }
  if (::fcntl(fd, F_GETFD) < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--inherit-fd '", text, "': descriptor ", fd, " is not open in ckpt"));
  }
  inherit.set_fd(fd);
  inherit.set_key(text.substr(close + 2));
  return inherit;
}

absl::StatusOr<std::string> AbsolutePath(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) {
    return ErrnoToStatus(errno, "open", path);
  }
  return std::string(resolved);
}

}  // namespace

std::vector<Flag> WithGroupFlags(const std::vector<Flag>& own, bool several) {
  return Append(
      {{"cgroup", "X",
        several
            ? "the cgroup: a path below /sys/fs/cgroup, or a name, looked up "
              "in the v2 and then in the v1 freezer hierarchy; may be repeated"
            : "the cgroup: a path below /sys/fs/cgroup, or a name, looked up "
              "in the v2 and then in the v1 freezer hierarchy"},
       {"freezer", "auto|v1|v2", "which hierarchy a name means (auto)"}},
      own);
}

std::vector<Flag> WithStoreFlag(std::vector<Flag> own) {
  return Append(std::move(own),
                {{"store", "DIR", "where images live (/var/lib/ckpt)"}});
}

std::vector<Flag> WithNodeFlag(std::vector<Flag> own) {
  own.push_back({"node", "HOST:PORT|unix:PATH",
                 "have the agent that listens there do it (ckptd(8))"});
  return WithTlsFlags(std::move(own));
}

std::vector<Flag> WithTlsFlags(std::vector<Flag> own) {
  return Append(
      std::move(own),
      {{"tls-ca", "FILE",
        "authorities that nodes at HOST:PORT are to be of ($CKPT_TLS_DIR or "
        "/etc/ckpt/tls, ca.pem)"},
       {"tls-cert", "FILE", "certificate to show to such nodes (cert.pem)"},
       {"tls-key", "FILE", "its key (key.pem)"}});
}

std::vector<Flag> WithCriuFlags(std::vector<Flag> own) {
  return Append(
      std::move(own),
      {{"criu", "PATH", "the CRIU to run ($CKPT_CRIU, /opt/ckpt, PATH)"},
       {"tcp-established", "", "keep established TCP connections"},
       {"tcp-close", "", "drop established TCP connections"},
       {"shell-job", "", "the job belongs to a shell's session or terminal"},
       {"file-locks", "", "keep file locks"},
       {"link-remap", "", "allow deleted files that have another hard link"},
       {"ext-unix-sk", "", "allow unix sockets with a peer outside the job"},
       {"evasive-devices", "", "use any path to a device file that fits"},
       {"external", "V",
        "a resource from outside, as CRIU spells it, or pipe:[N]; may be "
        "repeated"},
       {"ghost-limit", "N", "largest deleted file to keep (1M)"},
       {"network-lock", "iptables|nftables|skip",
        "how to hold back packets of kept connections (nftables)"},
       {"cpu-cap", "cpu|fpu|ins|all|none", "CPU features to check"},
       {"criu-config", "FILE", "CRIU configuration file, for anything else"},
       {"root", "DIR", "root directory of the job"},
       {"verbose", "", "let CRIU log everything (criu -v4)"}});
}

absl::StatusOr<v1::Hierarchy> HierarchyFlag(const Arguments& arguments) {
  const std::string text = arguments.Get("freezer");
  if (text.empty() || text == "auto") return v1::HIERARCHY_UNSPECIFIED;
  if (text == "v1") return v1::HIERARCHY_V1;
  if (text == "v2") return v1::HIERARCHY_V2;
  return absl::InvalidArgumentError(
      absl::StrCat("--freezer '", text, "' is none of auto, v1, v2"));
}

absl::StatusOr<std::unique_ptr<freezer::Cgroup>> GroupFlag(
    const Arguments& arguments) {
  if (!arguments.Has("cgroup")) {
    return absl::InvalidArgumentError("name the group: --cgroup X");
  }
  CKPT_ASSIGN_OR_RETURN(const v1::Hierarchy hierarchy,
                        HierarchyFlag(arguments));
  return freezer::FindCgroup(arguments.Get("cgroup"), hierarchy);
}

rpc::ClientOptions NodeOptions(const Arguments& arguments,
                               const std::string& node) {
  rpc::KeepGrpcQuiet();
  return {.node = node,
          .tls = {.ca = arguments.Get("tls-ca"),
                  .cert = arguments.Get("tls-cert"),
                  .key = arguments.Get("tls-key")}};
}

absl::StatusOr<std::unique_ptr<rpc::Client>> NodeAt(const Arguments& arguments,
                                                    const std::string& node) {
  return rpc::Client::Connect(NodeOptions(arguments, node));
}

absl::StatusOr<std::unique_ptr<rpc::Client>> NodeFlag(
    const Arguments& arguments, const std::string& without,
    bool store_goes_with_it) {
  for (const char* const flag : {"store", "criu", "criu-config", "root",
                                 "inherit-fd", "pidfile", "no-freezer"}) {
    if (store_goes_with_it && absl::string_view(flag) == "store") continue;
    if (arguments.Has(flag)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", flag, " is for this machine, and does not go with --node"));
    }
  }
  return NodeAt(arguments,
                arguments.Has("node") ? arguments.Get("node") : without);
}

Output DescribeFreeze(v1::FreezeResponse response) {
  if (response.has_one()) {
    std::string text = RenderFreeze(response.one());
    return MakeOutput(std::move(*response.mutable_one()), std::move(text));
  }
  absl::Status verdict = node::Verdict(response);
  std::string text = RenderFreezeSet(response.several());
  Output output =
      MakeOutput(std::move(*response.mutable_several()), std::move(text));
  output.verdict = std::move(verdict);
  return output;
}

void RecoverFirst() {
  const auto report = freezer::Recover(freezer::Journal::Default());
  if (!report.ok()) return;  // the operation meets the same trouble, and tells
  for (const v1::RecoveredGroup& group : report->groups()) {
    if (group.problem().empty()) {
      std::fputs(
          absl::StrCat("ckpt: ", RenderRecovered(group, /*dry_run=*/false))
              .c_str(),
          stderr);
    }
  }
}

absl::StatusOr<v1::OutputPolicy> OutputPolicyFlag(const Arguments& arguments) {
  if (!arguments.Has("output-policy")) return v1::OUTPUT_POLICY_UNSPECIFIED;
  const std::string text = arguments.Get("output-policy");
  if (text == "truncate") return v1::OUTPUT_POLICY_TRUNCATE;
  if (text == "append") return v1::OUTPUT_POLICY_APPEND;
  if (text == "fail") return v1::OUTPUT_POLICY_FAIL;
  return absl::InvalidArgumentError(absl::StrCat(
      "--output-policy '", text, "' is none of truncate, append, fail"));
}

absl::StatusOr<int> SignalNumber(absl::string_view flag,
                                 const std::string& text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number) && number > 0 && number < NSIG) {
    return number;
  }
  std::string name = absl::AsciiStrToUpper(text);
  if (absl::StartsWith(name, "SIG")) name = name.substr(3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, " '", text, "' is no signal"));
}

ImageStore StoreFlag(const Arguments& arguments) {
  return arguments.Has("store") ? ImageStore(arguments.Get("store"))
                                : ImageStore();
}

absl::StatusOr<v1::CriuOptions> CriuFlags(const Arguments& arguments) {
  v1::CriuOptions options;
  options.set_tcp_established(arguments.Has("tcp-established"));
  options.set_tcp_close(arguments.Has("tcp-close"));
  options.set_shell_job(arguments.Has("shell-job"));
  options.set_file_locks(arguments.Has("file-locks"));
  options.set_link_remap(arguments.Has("link-remap"));
  options.set_ext_unix_sk(arguments.Has("ext-unix-sk"));
  options.set_evasive_devices(arguments.Has("evasive-devices"));
  for (const std::string& external : arguments.GetAll("external")) {
    options.add_external(external);
  }
  CKPT_ASSIGN_OR_RETURN(const uint64_t ghost_limit,
                        arguments.Bytes("ghost-limit"));
  options.set_ghost_limit_bytes(ghost_limit);
  options.set_network_lock(arguments.Get("network-lock"));
  options.set_cpu_cap(arguments.Get("cpu-cap"));
  if (arguments.Has("criu-config")) {
    CKPT_ASSIGN_OR_RETURN(const std::string path,
                          AbsolutePath(arguments.Get("criu-config")));
    options.set_config_file(path);
  }
  for (const std::string& text : arguments.GetAll("inherit-fd")) {
    CKPT_ASSIGN_OR_RETURN(*options.add_inherit_fds(), ParseInheritFd(text));
  }
  if (arguments.Has("root")) {
    CKPT_ASSIGN_OR_RETURN(const std::string root,
                          AbsolutePath(arguments.Get("root")));
    options.set_root(root);
  }
  if (arguments.Has("verbose")) options.set_log_level(4);
  return options;
}

}  // namespace ckpt::cli
