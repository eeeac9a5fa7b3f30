// A Redis server and a client that checks it, under one root process.
//
//   redis --status FILE [--bind ADDRESS] [--port N]
//
// The server listens on ADDRESS (127.0.0.1) and a port that is free when it
// starts, and keeps everything in memory.  With another ADDRESS (0.0.0.0), a
// redis_client elsewhere can check the same server.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "tests/testcases/exact_io.h"
#include "tests/testcases/redis_checker.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

uint16_t FreePort(Workload& workload) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (fd < 0 || ::bind(fd, generic, size) != 0 ||
      ::getsockname(fd, generic, &size) != 0) {
    workload.Die("a free port");
  }
  ::close(fd);
  return ntohs(address.sin_port);
}

[[noreturn]] void ExecServer(Workload& workload, const std::string& bind,
                             uint16_t port) {
  // Debian's redis-tools has the server's program under another name; what it
  // does is decided by argv[0].
  for (const char* const program :
       {"/usr/bin/redis-server", "/usr/bin/redis-check-rdb"}) {
    ::execl(program, "redis-server", "--bind", bind.c_str(), "--port",
            std::to_string(port).c_str(), "--save", "", "--appendonly", "no",
            "--logfile", "", "--dir", "/tmp", "--daemonize", "no",
            "--protected-mode", "no", nullptr);
  }
  workload.Die("exec redis-server");
}

void Run(Workload& workload) {
  const std::string bind = workload.Option("bind", "127.0.0.1");
  const int64_t wanted_port = workload.IntOption("port", 0);
  const uint16_t port = wanted_port != 0 ? static_cast<uint16_t>(wanted_port)
                                         : FreePort(workload);
  const pid_t server =
      ForkChild(workload, [&] { ExecServer(workload, bind, port); });
  int rounds[2];
  if (::pipe2(rounds, O_CLOEXEC) != 0) workload.Die("pipe2");
  ForkChild(workload, [&] {
    ::close(rounds[0]);
    RedisChecker checker("127.0.0.1", port, "inside:");
    checker.Connect(workload);
    for (uint64_t round = 0;; ++round) {
      checker.Round(workload);
      WriteExactly(rounds[1], &round, sizeof round);
      Workload::Pause();
    }
  });
  ::close(rounds[1]);
  for (uint64_t expected = 0;; ++expected) {
    uint64_t round = 0;
    if (!ReadExactly(rounds[0], &round, sizeof round) || round != expected) {
      workload.Fail("the client is at round %lu instead of %lu", round,
                    expected);
      Workload::Pause();
    }
    if (::waitpid(server, nullptr, WNOHANG) != 0) {
      workload.Fail("the server has ended");
    }
    workload.Beat();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
