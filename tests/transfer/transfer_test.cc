// ckpt push and pull with a real agent: whole, broken off in every way, and
// within their bounds.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "store/image_store.h"
#include "tests/support/test_ca.h"
#include "tests/transfer/transfer_fixture.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(2);
constexpr int kAlreadyExists = 6;
constexpr int kNotFound = 5;
constexpr int kResourceExhausted = 8;
constexpr int kUnavailable = 14;
constexpr int kCancelled = 1;
constexpr uint64_t kRssBound = 64 << 20;

TEST_F(TransferTest, ImageIsPushedAndPulledBack) {
  MakeImage("job", 24, "memory");
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  const CommandResult pushed = Ckpt({"push", "job", "--to", node()});
  ASSERT_EQ(pushed.exit_status, 0) << pushed.err;
  EXPECT_TRUE(absl::StrContains(pushed.out, "sent 24.0 MiB")) << pushed.out;
  ExpectArrived("job");

  const CommandResult pulled =
      Ckpt({"pull", "job", "--as", "back", "--from", node()});
  ASSERT_EQ(pulled.exit_status, 0) << pulled.err;
  const auto back = ImageStore(here_).Open("back");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->Verify(), absl::OkStatus());

  const CommandResult again = Ckpt({"push", "job", "--to", node()});
  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(absl::StrContains(again.out, "is there already")) << again.out;
}

TEST_F(TransferTest, WhatIsMissingOrTakenIsTold) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  EXPECT_EQ(Ckpt({"push", "none", "--to", node()}).exit_status, kNotFound);
  EXPECT_EQ(Ckpt({"pull", "none", "--from", node()}).exit_status, kNotFound);
  MakeImage("job", 1, "noise");
  ASSERT_EQ(Ckpt({"push", "job", "--to", node()}).exit_status, 0);
  MakeImage("other", 2, "noise");
  const CommandResult taken =
      Ckpt({"push", "other", "--as", "job", "--to", node()});
  EXPECT_EQ(taken.exit_status, kAlreadyExists) << taken.err;
  const CommandResult nobody =
      Ckpt({"push", "job", "--to", "unix:" + ckpt_.dir().File("no.sock")});
  EXPECT_EQ(nobody.exit_status, kUnavailable) << nobody.err;
}

TEST_F(TransferTest, ReceiverKilledInTheMiddleIsGoneOnWith) {
  MakeImage("job", 48, "noise");
  // It dies at a chunk, which has not arrived then, and comes back.
  ASSERT_NO_FATAL_FAILURE(StartAgent("transfer.receive=stop"));
  RunningCkpt push(Words({"push", "job", "--to", node(), "--streams", "1"}),
                   "");
  ASSERT_TRUE(agent_->WaitUntilStopped(Soon())) << push.ReadErrors();
  KillAgent();
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  EXPECT_EQ(push.Wait(), 0) << push.ReadErrors();
  EXPECT_TRUE(absl::StrContains(push.ReadOutput(), "as connections broke"))
      << push.ReadOutput();
  ExpectArrived("job");
}

TEST_F(TransferTest, SenderKilledInTheMiddleIsGoneOnWith) {
  MakeImage("job", 256, "noise");
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  {
    RunningCkpt push(
        Words({"push", "job", "--to", node(), "--streams", "1", "--json"}), "");
    ASSERT_TRUE(push.WaitForLines(1, Soon()));
    push.Signal(SIGKILL);
    push.Wait();
  }
  // It may have been quicker than the kill.
  if (!ImageStore(there_).Open("job").ok()) {
    ASSERT_TRUE(AwaitInPart("job"));
    const CommandResult list = CkptAt(there_, {"list"});
    EXPECT_TRUE(absl::StrContains(list.out, "has arrived in part")) << list.out;
    const CommandResult again = Ckpt({"push", "job", "--to", node()});
    ASSERT_EQ(again.exit_status, 0) << again.err;
    EXPECT_TRUE(absl::StrContains(again.out, "had arrived before"))
        << again.out;
  }
  ExpectArrived("job");
}

TEST_F(TransferTest, InterruptedItKeepsWhatHasArrivedUntilItIsRemoved) {
  MakeImage("job", 256, "noise");
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  RunningCkpt push(
      Words({"push", "job", "--to", node(), "--streams", "1", "--json"}), "");
  ASSERT_TRUE(push.WaitForLines(1, Soon()));
  push.Signal(SIGINT);
  const int status = push.Wait();
  // It may have been quicker than the signal.
  if (status == 0) return;
  EXPECT_EQ(status, kCancelled) << push.ReadErrors();
  EXPECT_TRUE(absl::StrContains(push.ReadErrors(), "goes on from there"))
      << push.ReadErrors();
  ASSERT_TRUE(AwaitInPart("job"));
  const CommandResult removed = CkptAt(there_, {"remove", "job"});
  EXPECT_EQ(removed.exit_status, 0) << removed.err;
  EXPECT_FALSE(HasArrivedInPart("job"));
}

TEST_F(TransferTest, FullDiskIsToldAndWhatHasArrivedIsKept) {
  MakeImage("job", 24, "noise");
  ASSERT_EQ(::mkdir(there_.c_str(), 0700), 0);
  ASSERT_EQ(::mount("tmpfs", there_.c_str(), "tmpfs", 0, "size=8m"), 0);
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  const CommandResult full = Ckpt({"push", "job", "--to", node()});
  EXPECT_EQ(full.exit_status, kResourceExhausted) << full.err;
  EXPECT_TRUE(absl::StrContains(full.err, "pages-1.img")) << full.err;
  ASSERT_TRUE(AwaitInPart("job"));
  ASSERT_EQ(::mount("tmpfs", there_.c_str(), "tmpfs", MS_REMOUNT, "size=64m"),
            0);
  const CommandResult again = Ckpt({"push", "job", "--to", node()});
  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(absl::StrContains(again.out, "had arrived before")) << again.out;
  ExpectArrived("job");
  KillAgent();
  EXPECT_EQ(::umount2(there_.c_str(), MNT_DETACH), 0);
}

TEST_F(TransferTest, MemoryIsBoundedAtAnySize) {
  // Noise is what is neither compressed nor left out.
  MakeImage("job", 256, "noise");
  MakeImage("holes", 1024, "sparse");
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  for (const char* const image : {"job", "holes"}) {
    RunningCkpt push(Words({"push", image, "--to", node(), "--streams", "4"}),
                     "");
    siginfo_t ended = {};
    uint64_t peak = 0;
    while (::waitid(P_PID, static_cast<id_t>(push.pid()), &ended,
                    WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ended.si_pid == 0) {
      peak = std::max(peak, PeakRssBytes(push.pid()));
      Clock::Real().Sleep(kPoll);
    }
    EXPECT_EQ(push.Wait(), 0) << push.ReadErrors();
    ExpectArrived(image);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(peak, kRssBound);
    EXPECT_LT(PeakRssBytes(agent_->pid()), kRssBound);
#endif
  }
}

TEST_F(TransferTest, ItGoesByMutualTlsToo) {
  const TestCa ca;
  const std::string node = ca.Make("localhost,127.0.0.1");
  const std::string mover = ca.Make("mover");
  MakeImage("job", 24, "memory");
  ASSERT_NO_FATAL_FAILURE(StartAgent(
      "", {"--listen", "127.0.0.1:0", "--tls-ca", node + "/ca.pem",
           "--tls-cert", node + "/cert.pem", "--tls-key", node + "/key.pem"}));
  const std::string before = "by TLS, on ";
  const std::string log = AgentLog();
  const size_t at = log.find(before) + before.size();
  const std::string address = log.substr(at, log.find('\n', at) - at);
  const std::vector<std::string> tls = {"--tls-ca",   mover + "/ca.pem",
                                        "--tls-cert", mover + "/cert.pem",
                                        "--tls-key",  mover + "/key.pem"};
  std::vector<std::string> words = {"push", "job", "--to", address};
  words.insert(words.end(), tls.begin(), tls.end());
  const CommandResult pushed = Ckpt(words);
  ASSERT_EQ(pushed.exit_status, 0) << pushed.err;
  ExpectArrived("job");
  words = {"pull", "job", "--as", "back", "--from", address};
  words.insert(words.end(), tls.begin(), tls.end());
  const CommandResult pulled = Ckpt(words);
  EXPECT_EQ(pulled.exit_status, 0) << pulled.err;
}

}  // namespace
}  // namespace ckpt
