#include "tests/node/node_network.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "tests/node/node_init.h"
#include "tests/support/job.h"

namespace ckpt {
namespace {

// Below it the kernel gives pids only once, and init is one of them
// (RESERVED_PIDS).
constexpr int kReservedPids = 300;

// For the destructor; a node ends in milliseconds.
constexpr absl::Duration kRemovalTime = absl::Minutes(1);

// Reaps dead children of ours that are in a PID namespace below ours: those of
// commands that were killed, for example.  An init is not gone before they are.
void ReapZombiesOfNodes() {
  ProcFs& proc = ProcFs::Real();
  const auto children = proc.Children(::getpid());
  if (!children.ok()) return;
  for (const pid_t pid : *children) {
    const auto stat = proc.Stat(pid);
    const auto pids = proc.StatusField(pid, "NSpid");
    if (!stat.ok() || !pids.ok() || stat->state != 'Z') continue;
    const std::vector<absl::string_view> levels =
        absl::StrSplit(*pids, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (levels.size() > 1) ::waitpid(pid, nullptr, WNOHANG);
  }
}

void KillAndReap(pid_t pid) {
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kRemovalTime;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, WNOHANG) == 0) {
    ReapZombiesOfNodes();
    if (clock.Now() >= deadline) {
      std::fprintf(stderr, "node process %d does not end\n", pid);
      return;
    }
    clock.Sleep(absl::Milliseconds(1));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<NodeNetwork>> NodeNetwork::Create(int count) {
  if (count < 1 || count > kMaxNodes) {
    return absl::InvalidArgumentError(
        absl::StrCat(count, " nodes, not 1 to ", kMaxNodes));
  }
  CKPT_ASSIGN_OR_RETURN(const std::string pid_max,
                        ReadFile("/proc/sys/kernel/pid_max"));
  int limit = 0;
  if (!absl::SimpleAtoi(pid_max, &limit)) {
    return absl::InternalError("pid_max is " + pid_max);
  }
  const int share = (limit - kReservedPids) / count;
  std::unique_ptr<NodeNetwork> network(new NodeNetwork);
  CKPT_RETURN_IF_ERROR(network->MakeSwitch());
  for (int number = 1; number <= count; ++number) {
    CKPT_ASSIGN_OR_RETURN(
        const pid_t init,
        StartNodeInit(number, kReservedPids + (number - 1) * share));
    network->nodes_.emplace_back(number, init);
    CKPT_RETURN_IF_ERROR(network->Connect(network->nodes_.back()));
  }
  return network;
}

NodeNetwork::~NodeNetwork() {
  for (const Node& node : nodes_) KillAndReap(node.init_pid());
  if (switch_pid_ > 0) KillAndReap(switch_pid_);
}

absl::Status NodeNetwork::RunInSwitch(
    const std::vector<std::string>& argv) const {
  std::vector<std::string> entered = {"nsenter", "--target",
                                      absl::StrCat(switch_pid_), "--net", "--"};
  entered.insert(entered.end(), argv.begin(), argv.end());
  CKPT_ASSIGN_OR_RETURN(const CommandResult result, RunCommand(entered));
  if (result.exit_status == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(absl::StrJoin(argv, " "), ": ", result.err));
}

absl::Status NodeNetwork::MakeSwitch() {
  CKPT_ASSIGN_OR_RETURN(switch_pid_, StartNetworkHolder());
  CKPT_RETURN_IF_ERROR(
      RunInSwitch({"ip", "link", "add", "name", "bridge", "type", "bridge"}));
  return RunInSwitch({"ip", "link", "set", "bridge", "up"});
}

absl::Status NodeNetwork::Connect(const Node& node) {
  const std::string port = absl::StrCat("port", node.number());
  CKPT_RETURN_IF_ERROR(
      RunInSwitch({"ip", "link", "add", "name", port, "type", "veth", "peer",
                   "name", "eth0", "netns", absl::StrCat(node.init_pid())}));
  CKPT_RETURN_IF_ERROR(
      RunInSwitch({"ip", "link", "set", port, "master", "bridge", "up"}));
  CKPT_RETURN_IF_ERROR(node.AddAddress(node.address()));
  return node.RunOrError({"ip", "link", "set", "eth0", "up"});
}

absl::Status NodeNetwork::SlowDown(int number, absl::Duration delay,
                                   int64_t bits_per_second) {
  const std::string port = absl::StrCat("port", number);
  if (bits_per_second > 0) {
    // As tc-tbf(8) asks for: a timer's tick of data, and a queue.
    const std::vector<std::string> limit = {
        "root",  "tbf",   "rate",    absl::StrCat(bits_per_second, "bit"),
        "burst", "128kb", "latency", "200ms"};
    std::vector<std::string> there = {"/sbin/tc", "qdisc", "add", "dev", port};
    std::vector<std::string> back = {"/sbin/tc", "qdisc", "add", "dev", "eth0"};
    there.insert(there.end(), limit.begin(), limit.end());
    back.insert(back.end(), limit.begin(), limit.end());
    CKPT_RETURN_IF_ERROR(RunInSwitch(there));
    CKPT_RETURN_IF_ERROR(node(number).RunOrError(back));
  }
  if (delay <= absl::ZeroDuration()) return absl::OkStatus();
  // eth0 - port - the line - line - plug - bridge
  const std::string line = absl::StrCat("line", number);
  const std::string plug = absl::StrCat("plug", number);
  CKPT_RETURN_IF_ERROR(RunInSwitch({"ip", "link", "add", "name", line, "type",
                                    "veth", "peer", "name", plug}));
  CKPT_RETURN_IF_ERROR(RunInSwitch({"ip", "link", "set", port, "nomaster"}));
  CKPT_RETURN_IF_ERROR(
      RunInSwitch({"ip", "link", "set", plug, "master", "bridge", "up"}));
  CKPT_RETURN_IF_ERROR(RunInSwitch({"ip", "link", "set", line, "up"}));
  CKPT_ASSIGN_OR_RETURN(auto started,
                        DelayLine::Start(switch_pid_, port, line, delay));
  lines_.push_back(std::move(started));
  return absl::OkStatus();
}

std::vector<Node> NodeNetwork::FindNodes(pid_t maker) {
  std::vector<Node> nodes;
  ProcFs& proc = ProcFs::Real();
  const auto children = proc.Children(maker);
  if (!children.ok()) return nodes;
  for (const pid_t pid : *children) {
    const auto stat = proc.Stat(pid);
    if (!stat.ok()) continue;
    absl::string_view number_text = stat->comm;
    int number = 0;
    if (absl::ConsumePrefix(&number_text, kNodeCommPrefix) &&
        absl::SimpleAtoi(number_text, &number)) {
      nodes.emplace_back(number, pid);
    }
  }
  return nodes;
}

}  // namespace ckpt
