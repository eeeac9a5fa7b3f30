// ckpt-node: test nodes for the hand and for scripts; see node.h for what a
// node is.
//
//   ckpt-node up 3 &                 # prints "ready PID"; they live as long
//   export CKPT_NODE_MAKER=PID
//   ckpt-node exec 1 hostname
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "tests/node/node.h"
#include "tests/node/node_network.h"
#include "tests/support/job.h"

namespace ckpt {
namespace {

constexpr char kUsage[] = R"(usage: ckpt-node VERB...
  up COUNT                   make nodes 1 to COUNT, print "ready PID" and stay;
                             SIGTERM, SIGINT or the end of the process (of
                             whatever cause) removes them
The other verbs find the nodes by that PID in $CKPT_NODE_MAKER:
  exec NODE COMMAND...       run a command in a node
  start NODE COMMAND...      start a job in a node (absolute path; a session of
                             its own, in the background), print its pid there
  addr add|del NODE ADDRESS  give eth0 an address of 10.77.0.0/24, or take it
  addr hold NODE ADDRESS     the same, but packets still go elsewhere
  announce NODE ADDRESS      tell the others where the address is now
  copy NODE:PATH NODE        copy a file or directory to the same path elsewhere
  down                       remove all nodes
)";

constexpr int kUsageError = 64;  // EX_USAGE of sysexits.h

[[noreturn]] void RefuseUsage() {
  std::fputs(kUsage, stderr);
  std::exit(kUsageError);  // NOLINT(concurrency-mt-unsafe)
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "ckpt-node: %s\n", status.ToString().c_str());
  return static_cast<int>(status.code());
}

pid_t MakerPid() {
  const char* const text =
      std::getenv("CKPT_NODE_MAKER");  // NOLINT(concurrency-mt-unsafe)
  pid_t pid = 0;
  if (text == nullptr || !absl::SimpleAtoi(text, &pid)) {
    std::fputs("ckpt-node: CKPT_NODE_MAKER is not set to a pid\n", stderr);
    std::exit(kUsageError);  // NOLINT(concurrency-mt-unsafe)
  }
  return pid;
}

Node NodeNamed(const std::string& text) {
  int number = 0;
  if (!absl::SimpleAtoi(text, &number)) RefuseUsage();
  const pid_t maker = MakerPid();
  for (const Node& node : NodeNetwork::FindNodes(maker)) {
    if (node.number() == number) return node;
  }
  std::fprintf(stderr, "ckpt-node: process %d has no node %d\n", maker, number);
  std::exit(static_cast<int>(  // NOLINT(concurrency-mt-unsafe)
      absl::StatusCode::kNotFound));
}

int Up(const std::string& count_text) {
  int count = 0;
  if (!absl::SimpleAtoi(count_text, &count)) RefuseUsage();
  sigset_t endings;
  ::sigemptyset(&endings);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    ::sigaddset(&endings, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &endings, nullptr);
  const auto network = NodeNetwork::Create(count);
  if (!network.ok()) return Report(network.status());
  std::printf("ready %d\n", ::getpid());
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&endings, &signal);
  return 0;
}

int Exec(const Node& node, const std::vector<std::string>& command) {
  const std::string target = absl::StrCat(node.init_pid());
  std::vector<const char*> argv = {"nsenter", "--target", target.c_str(),
                                   "--mount", "--uts",    "--ipc",
                                   "--net",   "--pid",    "--"};
  for (const std::string& word : command) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  ::execvp(argv[0], const_cast<char**>(argv.data()));
  std::perror("ckpt-node: nsenter");
  return 1;
}

int Start(const Node& node, const std::vector<std::string>& command) {
  Job::Options options;
  options.argv = command;
  for (char** variable = ::environ; *variable != nullptr; ++variable) {
    options.env.emplace_back(*variable);
  }
  const auto job = node.Start(options);
  if (!job.ok()) return Report(job.status());
  std::printf("%d\n", job->pid());
  return 0;
}

int Main(const std::vector<std::string>& words) {
  const size_t count = words.size();
  const std::string verb = count > 0 ? words[0] : "";
  if (verb == "up" && count == 2) return Up(words[1]);
  if ((verb == "exec" || verb == "start") && count >= 3) {
    const std::vector<std::string> command(words.begin() + 2, words.end());
    const Node node = NodeNamed(words[1]);
    return verb == "exec" ? Exec(node, command) : Start(node, command);
  }
  if (verb == "addr" && count == 4) {
    const Node node = NodeNamed(words[2]);
    if (words[1] == "add") return Report(node.AddAddress(words[3]));
    if (words[1] == "del") return Report(node.RemoveAddress(words[3]));
    if (words[1] == "hold") return Report(node.HoldAddress(words[3]));
  }
  if (verb == "announce" && count == 3) {
    return Report(NodeNamed(words[1]).Announce(words[2]));
  }
  if (verb == "copy" && count == 3) {
    const std::vector<std::string> from =
        absl::StrSplit(words[1], absl::MaxSplits(':', 1));
    if (from.size() == 2) {
      return Report(NodeNamed(from[0]).CopyTo(from[1], NodeNamed(words[2])));
    }
  }
  if (verb == "down" && count == 1) {
    const pid_t maker = MakerPid();
    if (::kill(maker, SIGTERM) != 0) std::perror("ckpt-node: down");
    return Report(
        WaitUntilGone({maker}, Clock::Real().Now() + absl::Seconds(10)));
  }
  RefuseUsage();
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  return ckpt::Main(std::vector<std::string>(argv + 1, argv + argc));
}
