// What goes on at a node when its caller has gone, and at a caller whose node
// does not answer.
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "proto/image.pb.h"
#include "store/manifest.h"
#include "tests/support/job.h"
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

}  // namespace
}  // namespace ckpt
