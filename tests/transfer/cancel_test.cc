// What goes on at a node when its caller has gone, and at a caller whose node
// does not answer.
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "proto/image.pb.h"
#include "store/manifest.h"
#include "tests/support/job.h"
#include "tests/support/test_ca.h"
#include "tests/transfer/transfer_fixture.h"

namespace ckpt {
namespace {

constexpr int kCancelled = 1;
constexpr absl::Duration kPoll = absl::Milliseconds(5);

class CancelTest : public TransferTest {
 protected:
  // An image of which nobody awaits that it is read.
  void MakeEndlessImage(const std::string& name) {
    constexpr off_t kBytes = off_t{1} << 42;
    ASSERT_NO_FATAL_FAILURE(MakeImage(name, 1, "noise"));
    const std::string directory = absl::StrCat(here_, "/", name, "/");
    const auto bytes = ReadFile(directory + "ckpt-manifest.pb");
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    auto manifest = DecodeManifest(*bytes);
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    ASSERT_EQ(manifest->files_size(), 1);
    manifest->mutable_files(0)->set_size_bytes(kBytes);
    ASSERT_EQ(
        ::truncate((directory + manifest->files(0).name()).c_str(), kBytes), 0);
    std::ofstream(directory + "ckpt-manifest.pb") << EncodeManifest(*manifest);
  }
};

// By a signal that cancels the call, and by one that breaks the connection.
class GoneCallerTest : public CancelTest,
                       public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(All, GoneCallerTest, testing::Values(SIGINT, SIGKILL));

TEST_P(GoneCallerTest, VerifyEndsWithItsCaller) {
  there_ = here_;
  ASSERT_NO_FATAL_FAILURE(MakeEndlessImage("job"));
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  RunningCkpt verify({CkptRunner::Binary(), "verify", "job", "--node", node()},
                     "");
  const absl::Time deadline = Soon();
  const std::vector<std::string> remove = {"remove", "job"};
  while (!absl::StrContains(AgentLog(), "\"VERIFY\"")) {
    ASSERT_LT(Clock::Real().Now(), deadline) << AgentLog();
    Clock::Real().Sleep(kPoll);
  }
  verify.Signal(GetParam());
  EXPECT_NE(verify.Wait(), 0);
  // It is locked for as long as it is read.
  CommandResult removed = CkptAt(here_, remove);
  while (removed.exit_status != 0) {
    ASSERT_LT(Clock::Real().Now(), deadline) << removed.err;
    Clock::Real().Sleep(kPoll);
    removed = CkptAt(here_, remove);
  }
}

// Whether the process has a handler for SIGINT.
bool CatchesInterrupts(pid_t pid) {
  const auto text = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  if (!text.ok()) return false;
  constexpr char kCaught[] = "SigCgt:\t";
  const size_t at = text->find(kCaught);
  uint64_t caught = 0;
  return at != std::string::npos &&
         absl::SimpleHexAtoi(text->substr(at + sizeof(kCaught) - 1, 16),
                             &caught) &&
         (caught & (1 << (SIGINT - 1))) != 0;
}

TEST_F(CancelTest, VerifyEndsWhenItIsInterrupted) {
  ASSERT_NO_FATAL_FAILURE(MakeEndlessImage("job"));
  RunningCkpt verify(Words({"verify", "job"}), "");
  const absl::Time deadline = Soon();
  while (!CatchesInterrupts(verify.pid())) {
    ASSERT_LT(Clock::Real().Now(), deadline);
    Clock::Real().Sleep(kPoll);
  }
  verify.Signal(SIGINT);
  EXPECT_EQ(verify.Wait(), kCancelled) << verify.ReadErrors();
}

// A ckptd that is stopped: the kernel connects, and nobody answers.
class StoppedNodeTest : public CancelTest,
                        public testing::WithParamInterface<const char*> {
 protected:
  std::vector<std::string> Transfer(const std::string& address) const {
    return {GetParam(), "job", IsPush() ? "--to" : "--from", address, "--json"};
  }
  static bool IsPush() { return GetParam() == std::string("push"); }

  // gRPC by itself would wait for 20 seconds, or for ever.
  void ExpectEndsAtOnce(RunningCkpt& transfer) {
    const absl::Time start = Clock::Real().Now();
    transfer.Signal(SIGINT);
    EXPECT_EQ(transfer.Wait(), kCancelled) << transfer.ReadErrors();
    EXPECT_LT(Clock::Real().Now() - start, absl::Seconds(10));
    EXPECT_TRUE(absl::StrContains(transfer.ReadErrors(), "was cancelled"))
        << transfer.ReadErrors();
  }
  // Until that file of /proc/net has the words so many times.
  static void AwaitConnection(const std::string& table,
                              const std::string& words, int times) {
    const absl::Time deadline = Soon();
    while (true) {
      const auto text = ReadFile("/proc/net/" + table);
      ASSERT_TRUE(text.ok()) << text.status();
      const std::vector<std::string> parts = absl::StrSplit(*text, words);
      if (parts.size() > static_cast<size_t>(times)) return;
      ASSERT_LT(Clock::Real().Now(), deadline);
      Clock::Real().Sleep(kPoll);
    }
  }
};

INSTANTIATE_TEST_SUITE_P(All, StoppedNodeTest, testing::Values("push", "pull"));

TEST_P(StoppedNodeTest, InterruptEndsACallThatIsNotAnswered) {
  ASSERT_NO_FATAL_FAILURE(MakeImage("job", 1, "noise"));
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  agent_->Signal(SIGSTOP);
  RunningCkpt transfer(Words(Transfer(node())), "");
  ASSERT_NO_FATAL_FAILURE(AwaitConnection("unix", socket_ + "\n", 2));
  ExpectEndsAtOnce(transfer);
}

TEST_P(StoppedNodeTest, InterruptEndsAHandshakeThatIsNotAnswered) {
  const TestCa ca;
  const std::string of_node = ca.Make("localhost,127.0.0.1");
  const std::string mover = ca.Make("mover");
  ASSERT_NO_FATAL_FAILURE(MakeImage("job", 1, "noise"));
  ASSERT_NO_FATAL_FAILURE(StartAgent(
      "",
      {"--listen", "127.0.0.1:0", "--tls-ca", of_node + "/ca.pem", "--tls-cert",
       of_node + "/cert.pem", "--tls-key", of_node + "/key.pem"}));
  const std::string before = "by TLS, on 127.0.0.1:";
  const std::string log = AgentLog();
  const size_t at = log.find(before) + before.size();
  int port = 0;
  ASSERT_TRUE(absl::SimpleAtoi(log.substr(at, log.find('\n', at) - at), &port))
      << log;
  agent_->Signal(SIGSTOP);
  std::vector<std::string> words = Transfer(absl::StrCat("127.0.0.1:", port));
  words.insert(words.end(),
               {"--tls-ca", mover + "/ca.pem", "--tls-cert",
                mover + "/cert.pem", "--tls-key", mover + "/key.pem"});
  RunningCkpt transfer(Words(words), "");
  // Of gRPC's sockets, which are for both families.
  ASSERT_NO_FATAL_FAILURE(AwaitConnection(
      "tcp6", absl::StrFormat("0000000000000000FFFF00000100007F:%04X 01", port),
      1));
  ExpectEndsAtOnce(transfer);
}

TEST_P(StoppedNodeTest, InterruptEndsATransferInTheMiddle) {
  ASSERT_NO_FATAL_FAILURE(MakeImage("job", 256, "noise"));
  // Of a pull, the image is the agent's.
  const std::string other = std::exchange(there_, IsPush() ? there_ : here_);
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  std::vector<std::string> words = Transfer(node());
  words.insert(words.begin(), CkptRunner::Binary());
  words.insert(words.end(), {"--store", IsPush() ? here_ : other});
  RunningCkpt transfer(words, "");
  ASSERT_TRUE(transfer.WaitForLines(1, Soon())) << transfer.ReadErrors();
  agent_->Signal(SIGSTOP);
  ExpectEndsAtOnce(transfer);
}

}  // namespace
}  // namespace ckpt
