#include "criu/options.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"

namespace ckpt::criu {
namespace {

// criu/include/cpu.h
constexpr uint32_t kCpuFpu = 1;
constexpr uint32_t kCpuCpu = 2;
constexpr uint32_t kCpuIns = 4;

// What a configuration file must not say, and why.
struct Forbidden {
  absl::string_view option;
  absl::string_view reason;
};
constexpr Forbidden kForbidden[] = {
    {"freeze-cgroup", "ckpt freezes the job itself"},
    {"manage-cgroups", "ckpt places the job in its cgroup itself"},
    {"cgroup-root", "ckpt places the job in its cgroup itself"},
    {"stream", "CRIU's RPC aborts with it"},
    {"images-dir", "the image's place is ckpt's"},
    {"work-dir", "the log's place is ckpt's"},
    {"log-file", "the log's place is ckpt's"},
    {"leave-running", "use --leave-running of ckpt"},
    {"leave-stopped", "use --leave-frozen of ckpt"},
    {"timeout", "use --timeout of ckpt"},
    {"lazy-pages", "the image would not be whole"},
    {"page-server", "the image would not be whole"},
    {"prev-images-dir", "the image would not be whole"},
    {"auto-dedup", "it would change images that are sealed"},
    {"action-script", "hooks are ckpt's"},
    {"tree", "the job is named to ckpt"},
};

absl::StatusOr<uint32_t> CpuCapBits(const std::string& text) {
  uint32_t bits = 0;
  for (const absl::string_view word : absl::StrSplit(text, ',')) {
    if (word == "fpu") {
      bits |= kCpuFpu;
    } else if (word == "cpu") {
      bits |= kCpuCpu;
    } else if (word == "ins") {
      bits |= kCpuIns;
    } else if (word == "all") {
      bits |= kCpuFpu | kCpuCpu | kCpuIns;
    } else if (word != "none") {
      return absl::InvalidArgumentError(absl::StrCat(
          "--cpu-cap '", text, "': '", word,
          "' is none of cpu, fpu, ins, all, none; nothing was touched"));
    }
  }
  return bits;
}

absl::StatusOr<criu_network_lock_method> NetworkLock(
    const v1::CriuOptions& options) {
  const std::string& text = options.network_lock();
  // Nothing to lock without connections to keep.  CRIU would make a table all
  // the same: 0.2 s of the frozen time with 30 tables in the kernel, 2.5 s with
  // 600, and each dump that kills the job leaves one more.  A configuration
  // file may ask for connections too.
  const bool keeps_connections =
      options.tcp_established() || !options.config_file().empty();
  if (text.empty() && !keeps_connections) return SKIP;
  // nftables first: CRIU has that library linked in, while its own default
  // needs an iptables program on the node.
  if (text.empty() || text == "nftables") return NFTABLES;
  if (text == "iptables") return IPTABLES;
  if (text == "skip") return SKIP;
  return absl::InvalidArgumentError(
      absl::StrCat("--network-lock '", text,
                   "' is none of iptables, nftables, skip; nothing was "
                   "touched"));
}

absl::Status SetCommonOptions(const v1::CriuOptions& from, criu_opts& to) {
  if (from.tcp_established()) to.set_tcp_established(true);
  if (from.tcp_close()) to.set_tcp_close(true);
  if (from.shell_job()) to.set_shell_job(true);
  if (from.file_locks()) to.set_file_locks(true);
  if (from.link_remap()) to.set_link_remap(true);
  if (from.ext_unix_sk()) to.set_ext_unix_sk(true);
  if (from.evasive_devices()) to.set_evasive_devices(true);
  for (const std::string& external : from.external()) {
    // CRIU needs no leave to dump a pipe whose other end is outside; ckpt does.
    if (!absl::StartsWith(external, "pipe:")) to.add_external(external);
  }
  if (from.ghost_limit_bytes() > 0) {
    if (from.ghost_limit_bytes() > UINT32_MAX) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--ghost-limit ", from.ghost_limit_bytes(),
          " is more than CRIU takes (4 GiB); nothing was touched"));
    }
    to.set_ghost_limit(static_cast<uint32_t>(from.ghost_limit_bytes()));
  }
  CKPT_ASSIGN_OR_RETURN(const auto lock, NetworkLock(from));
  to.set_network_lock(lock);
  if (!from.cpu_cap().empty()) {
    CKPT_ASSIGN_OR_RETURN(const uint32_t bits, CpuCapBits(from.cpu_cap()));
    to.set_cpu_cap(bits);
  }
  if (!from.config_file().empty()) {
    CKPT_RETURN_IF_ERROR(CheckConfigFile(from.config_file()));
    to.set_config_file(from.config_file());
  }
  if (!from.root().empty()) to.set_root(from.root());
  // 2: warnings.  Each level above costs time while the job stands still.
  to.set_log_level(
      from.log_level() == 0 ? 2 : static_cast<int32_t>(from.log_level()));
  // Tasks inherit the group that CRIU is started in; anything else rewrites
  // groups that are not ours (criu/cgroup.c).
  to.set_manage_cgroups_mode(IGNORE);
  to.set_notify_scripts(true);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<criu_req> DumpMessage(const DumpArguments& arguments) {
  criu_req request;
  request.set_type(DUMP);
  criu_opts& options = *request.mutable_opts();
  CKPT_RETURN_IF_ERROR(SetCommonOptions(arguments.options, options));
  options.set_pid(arguments.pid);
  options.set_images_dir_fd(arguments.image_dir_fd);
  options.set_work_dir_fd(arguments.work_dir_fd);
  options.set_log_file(arguments.log_file);
  if (arguments.leave_running) options.set_leave_running(true);
  if (!arguments.freeze_cgroup.empty()) {
    options.set_freeze_cgroup(arguments.freeze_cgroup);
  }
  return request;
}

absl::StatusOr<criu_req> RestoreMessage(const RestoreArguments& arguments) {
  criu_req request;
  request.set_type(RESTORE);
  criu_opts& options = *request.mutable_opts();
  CKPT_RETURN_IF_ERROR(SetCommonOptions(arguments.options, options));
  options.set_images_dir_fd(arguments.image_dir_fd);
  options.set_work_dir_fd(arguments.work_dir_fd);
  options.set_log_file(arguments.log_file);
  for (const v1::InheritFd& inherit : arguments.options.inherit_fds()) {
    auto& fd = *options.add_inherit_fd();
    fd.set_fd(inherit.fd());
    fd.set_key(inherit.key());
  }
  return request;
}

absl::Status CheckConfigFile(const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    const size_t end = line.find_first_of(" \t=");
    absl::string_view option = line.substr(0, end);
    absl::ConsumePrefix(&option, "--");
    const auto* const forbidden =
        std::find_if(std::begin(kForbidden), std::end(kForbidden),
                     [&](const Forbidden& f) { return f.option == option; });
    if (forbidden != std::end(kForbidden)) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ":", number, ": '", option, "' is not allowed here, since ",
          forbidden->reason, "; nothing was touched"));
    }
  }
  return absl::OkStatus();
}

}  // namespace ckpt::criu
