#include "tests/node/node_network.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "gtest/gtest.h"
#include "tests/node/node.h"
#include "tests/support/job.h"

namespace ckpt {
namespace {

constexpr char kFloating[] = "10.77.0.100";

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

class NodeNetworkTest : public testing::Test {
 protected:
  static constexpr int kNodes = 3;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "this needs root";
    auto network = NodeNetwork::Create(kNodes);
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
  }

  const Node& node(int number) const { return network_->node(number); }

  // What a command prints in a node.
  std::string Output(int number, const std::vector<std::string>& argv) const {
    const auto result = node(number).Run(argv);
    if (!result.ok()) return result.status().ToString();
    return absl::StrCat(result->out, result->err);
  }

  // True when `from` reaches a TCP port that nobody listens on: the reset comes
  // from the address's owner.
  bool Reaches(int from, const std::string& address) const {
    const auto result = node(from).Run(
        {"/usr/bin/python3", "-c",
         absl::StrCat("import socket\n"
                      "s = socket.socket()\n"
                      "s.settimeout(5)\n"
                      "try: s.connect(('",
                      address,
                      "', 9))\n"
                      "except ConnectionRefusedError: print('reset')")});
    return result.ok() && result->out == "reset\n";
  }

  std::unique_ptr<NodeNetwork> network_;
};

TEST_F(NodeNetworkTest, NodesHaveNamespacesOfTheirOwn) {
  for (const char* const kind : {"pid", "mnt", "net", "uts", "ipc"}) {
    const std::string path = absl::StrCat("/proc/self/ns/", kind);
    const std::string ours = *ReadLink(path);
    const std::string first = Output(1, {"readlink", path});
    const std::string second = Output(2, {"readlink", path});
    EXPECT_NE(first, ours + "\n");
    EXPECT_NE(first, second);
  }
  EXPECT_EQ(Output(2, {"hostname"}), "node2\n");
}

TEST_F(NodeNetworkTest, NodesSeeTheCgroupsOfTheMachine) {
  EXPECT_EQ(Output(1, {"readlink", "/proc/self/ns/cgroup"}),
            *ReadLink("/proc/self/ns/cgroup") + "\n");
}

TEST_F(NodeNetworkTest, FilesOfOneNodeAreNotInAnother) {
  for (const char* const directory : {"/run", kNodeStore}) {
    const std::string path = absl::StrCat(directory, "/ckpt-node-test");
    std::ofstream(node(1).OutsidePath(path)) << "text";
    EXPECT_EQ(Output(1, {"cat", path}), "text");
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
    ASSERT_NE(::access(node(2).OutsidePath(path).c_str(), F_OK), 0);
    ASSERT_TRUE(node(1).CopyTo(path, node(2)).ok());
    EXPECT_EQ(Output(2, {"cat", path}), "text");
  }
}

TEST_F(NodeNetworkTest, PidsOfTheNodesAreFarApart) {
  std::vector<pid_t> pids;
  for (int number = 1; number <= kNodes; ++number) {
    Job::Options options;
    options.argv = {"/bin/sleep", "1000"};
    const auto job = node(number).Start(options);
    ASSERT_TRUE(job.ok()) << job.status();
    pids.push_back(job->pid());
  }
  EXPECT_GT(pids[1], pids[0] + 5000);
  EXPECT_GT(pids[2], pids[1] + 5000);
}

TEST_F(NodeNetworkTest, InitReapsTheOrphansOfItsNode) {
  Job::Options options;
  options.argv = {"/bin/true"};
  const auto job = node(1).Start(options);
  ASSERT_TRUE(job.ok()) << job.status();
  const std::string path = absl::StrCat("/proc/", job->pid());
  const absl::Time deadline = Soon();
  while (::access(node(1).OutsidePath(path).c_str(), F_OK) == 0) {
    ASSERT_LT(Clock::Real().Now(), deadline);
    Clock::Real().Sleep(absl::Milliseconds(1));
  }
}

TEST_F(NodeNetworkTest, AnAddressMovesWhenItIsAnnounced) {
  ASSERT_TRUE(node(1).AddAddress(kFloating).ok());
  ASSERT_TRUE(Reaches(3, kFloating));
  ASSERT_TRUE(node(1).RemoveAddress(kFloating).ok());
  ASSERT_TRUE(node(2).AddAddress(kFloating).ok());
  ASSERT_TRUE(node(2).Announce(kFloating).ok());
  EXPECT_TRUE(Reaches(3, kFloating));
}

// Seconds for `bytes` from node 1 to node 2, and for an answer.
double SecondsToSend(const Node& from, const Node& to, int bytes) {
  Job::Options listen;
  listen.argv = {"/usr/bin/python3", "-c",
                 "import socket\n"
                 "l = socket.create_server(('', 9))\n"
                 "while True:\n"
                 "  s, _ = l.accept()\n"
                 "  while s.recv(65536): pass\n"
                 "  s.send(b'y')\n"
                 "  s.close()\n"};
  if (!to.Start(listen).ok()) return -1;
  const auto sent = from.Run(
      {"/usr/bin/python3", "-c",
       "import socket, sys, time\n"
       "for _ in range(1000):\n"
       "  start = time.monotonic()\n"
       "  try: s = socket.create_connection((sys.argv[1], 9), 10); break\n"
       "  except ConnectionRefusedError: time.sleep(0.01)\n"
       "s.sendall(bytes(int(sys.argv[2])))\n"
       "s.shutdown(socket.SHUT_WR)\n"
       "assert s.recv(1) == b'y'\n"
       "print(time.monotonic() - start)",
       to.address(), absl::StrCat(bytes)});
  double seconds = -1;
  if (!sent.ok() ||
      !absl::SimpleAtod(absl::StripAsciiWhitespace(sent->out), &seconds)) {
    ADD_FAILURE() << (sent.ok() ? sent->err : sent.status().ToString());
  }
  return seconds;
}

TEST_F(NodeNetworkTest, DelayedLinkTakesItsTime) {
  ASSERT_EQ(network_->SlowDown(1, absl::Milliseconds(50)), absl::OkStatus());
  // The connection's first packets, and the data and the answer: two round
  // trips.  Megabytes, so that the kernel has frames to cut up.
  EXPECT_GE(SecondsToSend(node(1), node(2), 4 << 20), 4 * 0.050);
  EXPECT_TRUE(Reaches(2, node(1).address()));
  EXPECT_TRUE(Reaches(3, node(1).address()));
}

TEST_F(NodeNetworkTest, NarrowLinkIsNoFasterThanItIs) {
  constexpr int kBits = 16'000'000;
  ASSERT_EQ(network_->SlowDown(2, absl::Milliseconds(5), kBits),
            absl::OkStatus());
  constexpr int kBytes = 2 << 20;
  // But for the first 128 KiB, which may come in one burst.
  EXPECT_GE(SecondsToSend(node(1), node(2), kBytes),
            (kBytes - (128 << 10)) * 8.0 / kBits);
}

TEST_F(NodeNetworkTest, NodesAreFoundByTheirMaker) {
  const std::vector<Node> found = NodeNetwork::FindNodes(::getpid());
  ASSERT_EQ(found.size(), static_cast<size_t>(kNodes));
  EXPECT_EQ(found[1].number(), 2);
  EXPECT_EQ(found[1].init_pid(), node(2).init_pid());
}

TEST_F(NodeNetworkTest, EndsAfterACommandThatWasKilled) {
  BecomeReaper();  // the command's zombie is ours, and in the node
  CommandOptions options;
  options.timeout = absl::Milliseconds(50);
  EXPECT_EQ(node(1).Run({"sleep", "1000"}, options).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  const pid_t init = node(1).init_pid();
  network_.reset();
  EXPECT_NE(::kill(init, 0), 0);
}

TEST_F(NodeNetworkTest, WhatRunsInANodeEndsWithIt) {
  Job::Options options;
  options.argv = {"/bin/sleep", "1000"};
  ASSERT_TRUE(node(1).Start(options).ok());
  const auto children = ProcFs::Real().Children(node(1).init_pid());
  ASSERT_TRUE(children.ok());
  ASSERT_EQ(children->size(), 1u);
  network_.reset();
  EXPECT_NE(::kill(children->front(), 0), 0);
}

// The maker of nodes is killed: a process of its own, for this.
TEST(NodeNetworkMakerTest, NothingIsLeftAfterSigkill) {
  if (::geteuid() != 0) GTEST_SKIP() << "this needs root";
  BecomeReaper();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t maker = ::fork();
  if (maker == 0) {
    const auto network = NodeNetwork::Create(2);
    Job::Options options;
    options.argv = {"/bin/sleep", "1000"};
    const bool ok = network.ok() && (*network)->node(1).Start(options).ok();
    (void)!::write(ends[1], ok ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 'n';
  ASSERT_EQ(::read(ends[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  const auto tree = ProcessTree(ProcFs::Real(), maker);
  ASSERT_TRUE(tree.ok());
  EXPECT_EQ(tree->size(), 5u);  // maker, switch, two inits, sleep
  ::kill(maker, SIGKILL);
  const absl::Status gone = WaitUntilGone(*tree, Soon());
  EXPECT_TRUE(gone.ok()) << gone;
}

}  // namespace
}  // namespace ckpt
