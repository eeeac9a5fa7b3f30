#include "checkpoint/kept_connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/prepared_steps.h"
#include "base/unique_fd.h"
#include "criu/network_lock.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_dir.h"
#include "tests/support/test_network.h"

namespace ckpt::checkpoint {
namespace {

constexpr timeval kPatience = {60, 0};
constexpr char kRunId[] = "one";
constexpr char kTable[] = "CRIU-one";

// Where the job's end is: its address, and the family of its sockets.
struct Where {
  const char* name;
  std::string address;
  int family;
};

const Where kIpv4 = {"Ipv4", "10.77.0.9", AF_INET};
const Where kIpv6 = {"Ipv6", "fd77::9", AF_INET6};
// A server that listens at "::" has such connections.
const Where kIpv4OfIpv6 = {"Ipv4OfIpv6", "10.77.0.9", AF_INET6};

struct End {
  sockaddr_storage place = {};
  socklen_t size = sizeof(place);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&place); }
};

// Port 0.
End EndAt(const std::string& address) {
  End end;
  auto& in = reinterpret_cast<sockaddr_in&>(end.place);
  auto& in6 = reinterpret_cast<sockaddr_in6&>(end.place);
  if (::inet_pton(AF_INET, address.c_str(), &in.sin_addr) == 1) {
    end.place.ss_family = AF_INET;
    end.size = sizeof(in);
  } else {
    EXPECT_EQ(::inet_pton(AF_INET6, address.c_str(), &in6.sin6_addr), 1);
    end.place.ss_family = AF_INET6;
    end.size = sizeof(in6);
  }
  return end;
}

uint32_t PortOf(const UniqueFd& socket) {
  End end;
  EXPECT_EQ(::getsockname(socket.get(), end.get(), &end.size), 0);
  // Both families have it at the same place.
  return ntohs(reinterpret_cast<sockaddr_in&>(end.place).sin_port);
}

UniqueFd TcpSocket(int family) {
  return UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

void SetRepair(const UniqueFd& socket, int value) {
  ASSERT_EQ(::setsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR, &value,
                         sizeof(value)),
            0);
}

// A connection; `job` is the end that a dump would hold.
struct Connection {
  UniqueFd listener, job, other;
};

void Connect(const Where& where, Connection& made) {
  const std::string listen_at =
      where.family == AF_INET6 && where.address == kIpv4.address
          ? "::"
          : where.address;
  End here = EndAt(listen_at);
  made.listener = TcpSocket(where.family);
  ASSERT_EQ(::bind(made.listener.get(), here.get(), here.size), 0);
  ASSERT_EQ(::listen(made.listener.get(), 1), 0);
  End there = EndAt(where.address);
  made.other = TcpSocket(there.place.ss_family);
  ASSERT_EQ(::bind(made.other.get(), there.get(), there.size), 0);
  reinterpret_cast<sockaddr_in&>(there.place).sin_port =
      htons(static_cast<uint16_t>(PortOf(made.listener)));
  ASSERT_EQ(::connect(made.other.get(), there.get(), there.size), 0);
  made.job =
      UniqueFd(::accept4(made.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(made.job.ok());
  for (const UniqueFd* const end : {&made.job, &made.other}) {
    ASSERT_EQ(::setsockopt(end->get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience,
                           sizeof(kPatience)),
              0);
  }
}

// Closes both ends without a word, and so nothing of them is left.
void Vanish(Connection& connection) {
  ASSERT_NO_FATAL_FAILURE(SetRepair(connection.job, 1));
  ASSERT_NO_FATAL_FAILURE(SetRepair(connection.other, 1));
  connection.job.Reset();
  connection.other.Reset();
}

std::string Read(const UniqueFd& socket) {
  char bytes[16];
  const ssize_t size = ::recv(socket.get(), bytes, sizeof(bytes), 0);
  return size < 0 ? absl::StrCat("errno ", errno)
                  : std::string(bytes, static_cast<size_t>(size));
}

void ExpectGoesOn(const Connection& connection) {
  ASSERT_EQ(::send(connection.job.get(), "answer", 6, MSG_NOSIGNAL), 6);
  EXPECT_EQ(Read(connection.other), "answer");
  ASSERT_EQ(::send(connection.other.get(), "again", 5, MSG_NOSIGNAL), 5);
  EXPECT_EQ(Read(connection.job), "again");
}

class KeptConnectionsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(EnterNewNetwork(), absl::OkStatus());
    for (const Where& where : {kIpv4, kIpv6}) {
      ASSERT_NO_FATAL_FAILURE(AddAddress(where.address));
    }
  }

  // Of the program ip; returns what it prints.
  static std::string Ip(std::vector<std::string> words) {
    words.insert(words.begin(), "ip");
    const auto done = RunCommand(words);
    EXPECT_TRUE(done.ok()) << done.status();
    if (!done.ok()) return "";
    EXPECT_EQ(done->exit_status, 0) << done->err;
    return done->out;
  }

  static void AddAddress(const std::string& address) {
    Ip({"address", "add", address, "dev", "lo"});
    // One of IPv6 is there a moment later.
    const std::string alone = address.substr(0, address.find('/'));
    Clock& clock = Clock::Real();
    const absl::Time deadline = clock.Now() + absl::Seconds(60);
    while (!absl::StartsWith(Ip({"route", "get", alone}), "local ")) {
      ASSERT_LT(clock.Now(), deadline) << address;
      clock.Sleep(absl::Milliseconds(1));
    }
  }

  // As far as it tells of the run: length and value of field 13.
  void WriteInventory(const std::string& run_id) {
    const std::string entry =
        run_id.empty()
            ? ""
            : absl::StrCat("\x6a",
                           std::string(1, static_cast<char>(run_id.size())),
                           run_id);
    const uint32_t head[] = {0x58313116, static_cast<uint32_t>(entry.size())};
    std::ofstream file(dir_.File("inventory.img"), std::ios::binary);
    file.write(reinterpret_cast<const char*>(head), sizeof(head));
    file << entry;
  }

  // Of this process.
  void OpenKept(const std::vector<pid_t>& pids = {::getpid()}) {
    const auto dir = OpenDirectory(dir_.path());
    ASSERT_TRUE(dir.ok()) << dir.status();
    auto kept = KeptConnections::Open(pids, dir->get());
    ASSERT_TRUE(kept.ok()) << kept.status();
    kept_ = *std::move(kept);
  }

  static bool TableExists() {
    const auto exists = criu::NetworkLockExists(kTable);
    EXPECT_TRUE(exists.ok()) << exists.status();
    return exists.value_or(true);
  }

  const TestDir dir_;
  std::unique_ptr<KeptConnections> kept_;
};

class KeptConnectionTest : public KeptConnectionsTest,
                           public testing::WithParamInterface<Where> {
 protected:
  // A connection that a dump holds, with the lock.
  void Hold(Connection& connection) {
    ASSERT_NO_FATAL_FAILURE(Connect(GetParam(), connection));
    ASSERT_NO_FATAL_FAILURE(WriteInventory(kRunId));
    ASSERT_EQ(MakeNftTable(kTable), absl::OkStatus());
    ASSERT_EQ(DropAllPackets(kTable), absl::OkStatus());
    ASSERT_NO_FATAL_FAILURE(SetRepair(connection.job, 1));
    ASSERT_NO_FATAL_FAILURE(OpenKept());
    ASSERT_EQ(kept_->lock().table(), kTable);
  }
};

INSTANTIATE_TEST_SUITE_P(All, KeptConnectionTest,
                         testing::Values(kIpv4, kIpv6, kIpv4OfIpv6),
                         [](const auto& info) { return info.param.name; });

TEST_P(KeptConnectionTest, OnlyWhatIsHeldIsTakenAndNamed) {
  Connection held, free;
  ASSERT_NO_FATAL_FAILURE(Connect(GetParam(), held));
  ASSERT_NO_FATAL_FAILURE(Connect(GetParam(), free));
  const UniqueFd no_tcp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const UniqueFd local(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_NO_FATAL_FAILURE(SetRepair(held.job, 1));
  ASSERT_NO_FATAL_FAILURE(WriteInventory(""));
  ASSERT_NO_FATAL_FAILURE(OpenKept());
  ASSERT_EQ(kept_->lock().connections_size(), 1);
  const v1::KeptConnection& connection = kept_->lock().connections(0);
  EXPECT_EQ(connection.local_address(), GetParam().address);
  EXPECT_EQ(connection.local_port(), PortOf(held.listener));
  EXPECT_EQ(connection.remote_address(), GetParam().address);
  EXPECT_EQ(connection.remote_port(), PortOf(held.other));
}

TEST_P(KeptConnectionTest, GoesOnWithWhatWasSentMeanwhile) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Hold(connection));
  ASSERT_EQ(::send(connection.other.get(), "question", 8, 0), 8);
  int arrived = -1;
  ASSERT_EQ(::ioctl(connection.job.get(), FIONREAD, &arrived), 0);
  EXPECT_EQ(arrived, 0);
  EXPECT_EQ(::send(connection.job.get(), "x", 1, MSG_NOSIGNAL), -1);

  EXPECT_EQ(kept_->GoOn(), absl::OkStatus());
  EXPECT_FALSE(TableExists());
  EXPECT_EQ(Read(connection.job), "question");
  ExpectGoesOn(connection);
}

TEST_P(KeptConnectionTest, GoesOnByTheStepsOfAnotherProcess) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Hold(connection));
  PreparedSteps steps;
  kept_->AddGoOn(steps);
  const pid_t guardian = ::fork();
  if (guardian == 0) {
    steps.CarryOut();
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(guardian, nullptr, 0), guardian);
  EXPECT_FALSE(TableExists());
  ExpectGoesOn(connection);
}

TEST_P(KeptConnectionTest, LockStaysAsLongAsTheAddressIsHere) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Hold(connection));
  const v1::NetworkLock lock = kept_->lock();
  kept_.reset();
  ASSERT_NO_FATAL_FAILURE(Vanish(connection));
  EXPECT_FALSE(MayUnlock(lock, /*back=*/false));
  EXPECT_FALSE(MayUnlock(lock, /*back=*/true));
  Ip({"address", "del", GetParam().address, "dev", "lo"});
  EXPECT_TRUE(MayUnlock(lock, /*back=*/false));
}

TEST_P(KeptConnectionTest, LockMayGoWhenTheConnectionIsBack) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Hold(connection));
  EXPECT_TRUE(MayUnlock(kept_->lock(), /*back=*/true));
  EXPECT_FALSE(MayUnlock(kept_->lock(), /*back=*/false));
}

TEST_P(KeptConnectionTest, ConnectionToAnotherIsNotTheOneThatIsBack) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Hold(connection));
  v1::NetworkLock lock = kept_->lock();
  lock.mutable_connections(0)->set_remote_port(1);
  EXPECT_FALSE(MayUnlock(lock, /*back=*/true));
}

// The job and the processes that it has forked: a socket of all is one
// connection.
TEST_F(KeptConnectionsTest, SocketWithSeveralDescriptorsIsOneConnection) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Connect(kIpv4, connection));
  ASSERT_NO_FATAL_FAILURE(SetRepair(connection.job, 1));
  ASSERT_NO_FATAL_FAILURE(WriteInventory(""));
  const UniqueFd again(::dup(connection.job.get()));
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
  OpenKept({::getpid(), child});
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_NE(kept_, nullptr);
  EXPECT_EQ(kept_->lock().connections_size(), 1);
}

TEST_F(KeptConnectionsTest, SocketOfAnotherProcessIsHeldWhenThatHasEnded) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Connect(kIpv6, connection));
  ASSERT_NO_FATAL_FAILURE(SetRepair(connection.job, 1));
  ASSERT_NO_FATAL_FAILURE(WriteInventory(""));
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
  connection.job.Reset();
  OpenKept({child});
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_NE(kept_, nullptr);
  ASSERT_EQ(kept_->lock().connections_size(), 1);
  EXPECT_EQ(kept_->GoOn(), absl::OkStatus());
  kept_.reset();
  // It has been let go, and so the other end is told that it is closed.
  EXPECT_EQ(Read(connection.other), "");
}

TEST_F(KeptConnectionsTest, WithoutATableNothingIsLocked) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Connect(kIpv4, connection));
  ASSERT_NO_FATAL_FAILURE(SetRepair(connection.job, 1));
  ASSERT_EQ(MakeNftTable("CRIU-another"), absl::OkStatus());
  for (const std::string run_id : {kRunId, ""}) {
    ASSERT_NO_FATAL_FAILURE(WriteInventory(run_id));
    ASSERT_NO_FATAL_FAILURE(OpenKept());
    EXPECT_EQ(kept_->lock().table(), "") << run_id;
  }
  EXPECT_EQ(kept_->GoOn(), absl::OkStatus());
  ExpectGoesOn(connection);
  const auto other = criu::NetworkLockExists("CRIU-another");
  EXPECT_TRUE(other.ok() && *other) << other.status();
}

TEST_F(KeptConnectionsTest, ImageThatDoesNotTellOfTheLockIsAnError) {
  Connection connection;
  ASSERT_NO_FATAL_FAILURE(Connect(kIpv4, connection));
  ASSERT_NO_FATAL_FAILURE(SetRepair(connection.job, 1));
  const auto dir = OpenDirectory(dir_.path());
  ASSERT_TRUE(dir.ok()) << dir.status();
  EXPECT_TRUE(absl::IsDataLoss(
      KeptConnections::Open({::getpid()}, dir->get()).status()));
}

TEST_F(KeptConnectionsTest, WithoutConnectionsTheImageIsNotAsked) {
  ASSERT_NO_FATAL_FAILURE(OpenKept());
  EXPECT_EQ(kept_->lock().table(), "");
  EXPECT_EQ(kept_->lock().connections_size(), 0);
}

TEST_F(KeptConnectionsTest, ProcessThatHasGoneHasNoConnections) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_NO_FATAL_FAILURE(OpenKept({child}));
  EXPECT_EQ(kept_->lock().connections_size(), 0);
}

v1::NetworkLock LockOf(const std::vector<std::string>& local_addresses) {
  v1::NetworkLock lock;
  for (const std::string& address : local_addresses) {
    v1::KeptConnection& connection = *lock.add_connections();
    connection.set_local_address(address);
    connection.set_local_port(6379);
    connection.set_remote_address(address);
    connection.set_remote_port(4711);
  }
  return lock;
}

TEST_F(KeptConnectionsTest, LockOfAddressesThatAreNotHereMayGo) {
  EXPECT_TRUE(MayUnlock(LockOf({"10.77.0.10", "fd77::10"}), false));
}

TEST_F(KeptConnectionsTest, LockStaysForOneAddressThatIsHere) {
  EXPECT_FALSE(MayUnlock(LockOf({"10.77.0.10", kIpv6.address}), false));
  EXPECT_FALSE(MayUnlock(LockOf({"fd77::10", kIpv4.address}), false));
}

// A node that takes over addresses may have it so.
TEST_F(KeptConnectionsTest, LockMayGoThoughAnyAddressCanBeBoundTo) {
  for (const char* const family : {"ipv4", "ipv6"}) {
    std::ofstream(absl::StrCat("/proc/sys/net/", family, "/ip_nonlocal_bind"))
        << "1\n";
  }
  EXPECT_TRUE(MayUnlock(LockOf({"10.77.0.10", "fd77::10"}), false));
  EXPECT_FALSE(MayUnlock(LockOf({kIpv4.address}), false));
  EXPECT_FALSE(MayUnlock(LockOf({kIpv6.address}), false));
}

TEST_F(KeptConnectionsTest, AddressThatARouteLeadsToIsNotHere) {
  Ip({"route", "add", "10.88.0.0/24", "dev", "lo"});
  Ip({"route", "add", "fd88::/64", "dev", "lo"});
  EXPECT_TRUE(MayUnlock(LockOf({"10.88.0.9", "fd88::9"}), false));
}

TEST_F(KeptConnectionsTest, AddressOfANetworkThatIsAllThisNodesIsHere) {
  Ip({"route", "add", "local", "10.88.0.0/24", "dev", "lo"});
  Ip({"route", "add", "local", "fd88::/64", "dev", "lo"});
  EXPECT_FALSE(MayUnlock(LockOf({"10.88.0.9"}), false));
  EXPECT_FALSE(MayUnlock(LockOf({"fd88::9"}), false));
}

TEST_F(KeptConnectionsTest, SecondAddressOfADeviceIsHere) {
  ASSERT_NO_FATAL_FAILURE(AddAddress("10.88.0.1/24"));
  ASSERT_NO_FATAL_FAILURE(AddAddress("10.88.0.2/24"));
  EXPECT_FALSE(MayUnlock(LockOf({"10.88.0.1"}), false));
  EXPECT_FALSE(MayUnlock(LockOf({"10.88.0.2"}), false));
}

// Its other end was the job's, too, and has left with it.
TEST_F(KeptConnectionsTest, LockOfLoopbackAddressesMayGo) {
  EXPECT_TRUE(MayUnlock(LockOf({"127.0.0.1", "127.3.2.1", "::1"}), false));
}

TEST_F(KeptConnectionsTest, LockOfWhatIsDoubtfulStays) {
  for (const char* const address : {"", "nonsense", "10.77.0"}) {
    EXPECT_FALSE(MayUnlock(LockOf({address}), false)) << address;
    EXPECT_FALSE(MayUnlock(LockOf({address}), true)) << address;
  }
}

}  // namespace
}  // namespace ckpt::checkpoint
