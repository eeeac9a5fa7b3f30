#include "tests/transfer/transfer_fixture.h"

#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/arriving_image.h"
#include "tests/support/job.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(5);

CommandResult RunWords(const std::vector<std::string>& words) {
  const auto result = RunCommand(
      words, {.env = {}, .cgroups = {}, .timeout = absl::Seconds(120)});
  if (result.ok()) return *result;
  ADD_FAILURE() << result.status();
  return {.exit_status = -1, .out = "", .err = ""};
}

}  // namespace

void TransferTest::MakeImage(const std::string& name, int mebibytes,
                             const std::string& kind) {
  const CommandResult made =
      RunWords({RunfilesPath("tests/transfer/make_image"), here_, name,
                absl::StrCat(mebibytes), kind});
  ASSERT_EQ(made.exit_status, 0) << made.err;
}

void TransferTest::StartAgent(const std::string& fault,
                              const std::vector<std::string>& more) {
  const std::string policy = ckpt_.dir().File("policy");
  std::ofstream(policy) << "rule { local_user: '0' verb: ALL cgroup: '/' }\n"
                        << "rule { client: 'mover' verb: ALL cgroup: '/' }\n";
  ASSERT_EQ(::chmod(policy.c_str(), 0600), 0);
  std::vector<std::string> argv = {RunfilesPath("agent/ckptd"),
                                   "--socket",
                                   socket_,
                                   "--store",
                                   there_,
                                   "--policy",
                                   policy};
  argv.insert(argv.end(), more.begin(), more.end());
  agent_ = std::make_unique<RunningCkpt>(argv, fault);
  const absl::Time deadline = Soon();
  while (!absl::StrContains(AgentLog(), "listens on")) {
    ASSERT_LT(Clock::Real().Now(), deadline) << AgentLog();
    Clock::Real().Sleep(kPoll);
  }
}

void TransferTest::KillAgent() {
  agent_->Signal(SIGKILL);
  agent_->Wait();
}

std::vector<std::string> TransferTest::Words(
    std::vector<std::string> words) const {
  words.insert(words.begin(), CkptRunner::Binary());
  words.insert(words.end(), {"--store", here_});
  return words;
}

CommandResult TransferTest::CkptAt(const std::string& store,
                                   std::vector<std::string> words) {
  words.insert(words.begin(), CkptRunner::Binary());
  words.insert(words.end(), {"--store", store});
  return RunWords(words);
}

CommandResult TransferTest::Ckpt(const std::vector<std::string>& words) const {
  return RunWords(Words(words));
}

void TransferTest::ExpectArrived(const std::string& name) const {
  const auto sent = ImageStore(here_).Open(name);
  const auto arrived = ImageStore(there_).Open(name);
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_TRUE(arrived.ok()) << arrived.status();
  EXPECT_EQ(arrived->manifest().manifest_sha256(),
            sent->manifest().manifest_sha256());
  EXPECT_EQ(arrived->Verify(), absl::OkStatus());
}

bool TransferTest::HasArrivedInPart(const std::string& name) const {
  const auto arriving = ListArriving(ImageStore(there_));
  if (!arriving.ok()) return false;
  for (const v1::ArrivingImage& image : *arriving) {
    if (image.name() == name && !image.active() && image.bytes() > 0) {
      return true;
    }
  }
  return false;
}

bool TransferTest::AwaitInPart(const std::string& name) const {
  const absl::Time deadline = Soon();
  while (!HasArrivedInPart(name)) {
    if (Clock::Real().Now() > deadline) return false;
    Clock::Real().Sleep(kPoll);
  }
  return true;
}

uint64_t TransferTest::PeakRssBytes(pid_t pid) {
  const auto text = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  if (!text.ok()) return 0;
  const size_t at = text->find("VmHWM:");
  if (at == std::string::npos) return 0;
  const size_t digit = text->find_first_of("0123456789", at);
  uint64_t kibibytes = 0;
  (void)absl::SimpleAtoi(text->substr(digit, text->find(' ', digit) - digit),
                         &kibibytes);
  return kibibytes << 10;
}

}  // namespace ckpt
