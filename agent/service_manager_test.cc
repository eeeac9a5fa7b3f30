#include "agent/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

// A manager's end; "@" and a name for an abstract address.
UniqueFd Listen(const std::string& address) {
  sockaddr_un here = {};
  here.sun_family = AF_UNIX;
  std::memcpy(here.sun_path, address.data(), address.size());
  if (address[0] == '@') here.sun_path[0] = '\0';
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&here),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                          address.size())),
            0);
  return socket;
}

std::string Receive(const UniqueFd& socket) {
  char buffer[100];
  const ssize_t size =
      ::recv(socket.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  return size < 0 ? "nothing" : std::string(buffer, static_cast<size_t>(size));
}

TEST(ServiceManagerTest, IsToldByADatagram) {
  const TestDir dir;
  const UniqueFd end = Listen(dir.File("notify"));
  ServiceManager(dir.File("notify"), "").Tell("READY=1");
  EXPECT_EQ(Receive(end), "READY=1");
}

TEST(ServiceManagerTest, AbstractAddressIsUnderstood) {
  const std::string address = absl::StrCat("@ckpt-notify-test-", ::getpid());
  const UniqueFd end = Listen(address);
  ServiceManager(address, "").Tell("STOPPING=1");
  EXPECT_EQ(Receive(end), "STOPPING=1");
}

TEST(ServiceManagerTest, ReloadIsToldWithItsTimeByTheMonotonicClock) {
  const TestDir dir;
  const UniqueFd end = Listen(dir.File("notify"));
  const absl::Time before = Clock::Real().Now();
  ServiceManager(dir.File("notify"), "").TellReloading();
  const absl::Time after = Clock::Real().Now();
  const std::string told = Receive(end);
  absl::string_view number = told;
  ASSERT_TRUE(absl::ConsumePrefix(&number, "RELOADING=1\nMONOTONIC_USEC="))
      << told;
  int64_t usec = 0;
  ASSERT_TRUE(absl::SimpleAtoi(number, &usec)) << told;
  EXPECT_GE(usec, absl::ToUnixMicros(before));
  EXPECT_LE(usec, absl::ToUnixMicros(after));
}

TEST(ServiceManagerTest, WithoutOneNothingHappens) {
  const ServiceManager none("", "");
  none.Tell("READY=1");
  EXPECT_EQ(none.watchdog_interval(), absl::InfiniteDuration());
}

TEST(ServiceManagerTest, WatchdogIsFedTwiceAsOftenAsNeeded) {
  EXPECT_EQ(ServiceManager("", "30000000").watchdog_interval(),
            absl::Seconds(15));
}

TEST(ServiceManagerTest, EnvironmentIsTakenFromTheChildren) {
  // No other thread yet.  NOLINTBEGIN(concurrency-mt-unsafe)
  ::setenv("NOTIFY_SOCKET", "/x", 1);
  ::setenv("WATCHDOG_USEC", "2000000", 1);
  EXPECT_EQ(ServiceManager::FromEnvironment().watchdog_interval(),
            absl::Seconds(1));
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_EQ(std::getenv("WATCHDOG_USEC"), nullptr);
  // NOLINTEND(concurrency-mt-unsafe)
}

}  // namespace
}  // namespace ckpt::agent
