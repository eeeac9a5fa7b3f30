#include "agent/policy_reloader.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

absl::StatusOr<Policy> Only(const std::string& verb) {
  return Policy::Parse(
      absl::StrCat("rule { local_user: '7' verb: ", verb, " cgroup: '/' }"),
      UserNames::Real());
}

// Also a service manager's end.
class PolicyReloaderTest : public testing::Test {
 protected:
  void SetUp() override {
    sockaddr_un here = {};
    here.sun_family = AF_UNIX;
    const std::string path = dir_.File("notify");
    ASSERT_LT(path.size(), sizeof(here.sun_path));
    std::memcpy(here.sun_path, path.data(), path.size());
    const timeval patience = {absl::ToInt64Seconds(kPatience), 0};
    ASSERT_EQ(::setsockopt(told_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience,
                           sizeof(patience)),
              0);
    ASSERT_EQ(::bind(told_.get(), reinterpret_cast<const sockaddr*>(&here),
                     sizeof(here)),
              0);
  }

  void TearDown() override { stop_.Cancel(); }

  void Start(std::function<absl::StatusOr<Policy>()> load) {
    reloader_.reset(new PolicyReloader({.asked_fd = asked_.get(),
                                        .stop = stop_,
                                        .load = std::move(load),
                                        .gate = gate_,
                                        .manager = manager_,
                                        .log = [this](absl::string_view line) {
                                          const absl::MutexLock lock(&mutex_);
                                          lines_.emplace_back(line);
                                        }}));
  }

  void Ask() const {
    const uint64_t one = 1;
    ASSERT_EQ(::write(asked_.get(), &one, sizeof(one)), sizeof(one));
  }

  // Once there are so many.
  std::vector<std::string> AwaitLines(size_t count) {
    const auto enough = [this, count]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return lines_.size() >= count;
    };
    const absl::MutexLock lock(&mutex_);
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return lines_;
  }

  std::string NextTold() const {
    char buffer[1000];
    const ssize_t size = ::recv(told_.get(), buffer, sizeof(buffer), 0);
    return size < 0 ? "nothing"
                    : std::string(buffer, static_cast<size_t>(size));
  }

  bool MaySevenDo(Verb verb) const {
    Caller caller;
    caller.uid = 7;
    return gate_.MaySee(caller, verb, "/jobs");
  }

  const TestDir dir_;
  const UniqueFd told_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  const UniqueFd asked_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Cancellation stop_;
  Gate gate_{*Only("FREEZE"), [](const std::string&) {}};
  const ServiceManager manager_{dir_.File("notify"), ""};
  absl::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<PolicyReloader> reloader_;
};

TEST_F(PolicyReloaderTest, GoodPolicyIsInForceOnceItIsLogged) {
  Start([] { return Only("KILL"); });
  Ask();
  EXPECT_EQ(AwaitLines(1)[0], "policy reloaded, 1 rule");
  EXPECT_TRUE(MaySevenDo(KILL));
  EXPECT_FALSE(MaySevenDo(FREEZE));
}

TEST_F(PolicyReloaderTest, RulesAreCounted) {
  Start([] { return Policy::WithoutFile(); });
  Ask();
  EXPECT_EQ(AwaitLines(1)[0], "policy reloaded, 2 rules");
}

TEST_F(PolicyReloaderTest, PolicyThatCannotBeLoadedLeavesTheOneBefore) {
  Start([] { return absl::InvalidArgumentError("there is no user a\nb"); });
  Ask();
  const std::string line = AwaitLines(1)[0];
  EXPECT_TRUE(absl::StrContains(
      line,
      "not reloaded, the one before stays in force: there is no user a b"))
      << line;
  EXPECT_FALSE(absl::StrContains(line, "\n"));
  EXPECT_TRUE(MaySevenDo(FREEZE));
}

TEST_F(PolicyReloaderTest, ManagerIsToldWhenItBeginsAndWhatBecameOfIt) {
  Start([n = 0]() mutable -> absl::StatusOr<Policy> {
    if (n++ == 0) return absl::NotFoundError("no file");
    return Only("KILL");
  });
  Ask();
  EXPECT_TRUE(absl::StartsWith(NextTold(), "RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_TRUE(
      absl::StartsWith(NextTold(), "READY=1\nSTATUS=policy not reloaded"));
  Ask();
  EXPECT_TRUE(absl::StartsWith(NextTold(), "RELOADING=1\n"));
  EXPECT_EQ(NextTold(), "READY=1\nSTATUS=policy reloaded, 1 rule");
}

TEST_F(PolicyReloaderTest, ManagerIsToldTheEndWhenThePolicyIsInForce) {
  Start([] { return Only("KILL"); });
  Ask();
  (void)NextTold();
  (void)NextTold();
  EXPECT_TRUE(MaySevenDo(KILL));
}

TEST_F(PolicyReloaderTest, AskedBeforeItStartsIsAnswered) {
  Ask();
  Start([] { return Only("KILL"); });
  EXPECT_EQ(AwaitLines(1).size(), 1);
}

// The file may have changed once more since it was read.
TEST_F(PolicyReloaderTest, AskedDuringALoadIsAnsweredByOneMore) {
  absl::Notification loading, go_on;
  Start([&, n = 0]() mutable {
    if (n++ > 0) return Only("KILL");
    loading.Notify();
    go_on.WaitForNotification();
    return Only("THAW");
  });
  Ask();
  const bool begun = loading.WaitForNotificationWithTimeout(kPatience);
  Ask();
  Ask();
  go_on.Notify();
  ASSERT_TRUE(begun);
  EXPECT_EQ(AwaitLines(2).size(), 2);
  EXPECT_TRUE(MaySevenDo(KILL));
}

TEST_F(PolicyReloaderTest, NoLoadBeginsAfterAStop) {
  int loads = 0;
  stop_.Cancel();
  Start([&] {
    ++loads;
    return Only("KILL");
  });
  Ask();
  reloader_.reset();
  EXPECT_EQ(loads, 0);
}

}  // namespace
}  // namespace ckpt::agent
