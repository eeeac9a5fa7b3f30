// An established TCP connection over loopback between two processes of the
// tree, with numbered records under way in both directions.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/testcases/sequence.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

void Run(Workload& workload) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (listener < 0 || ::bind(listener, generic, size) != 0 ||
      ::listen(listener, 1) != 0 ||
      ::getsockname(listener, generic, &size) != 0) {
    workload.Die("a listening socket");
  }
  ForkChild(workload, [&] {
    ::close(listener);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // On both sides: CRIU may fail to restore data that Nagle's algorithm held
    // back, since the other end is not there yet ("Connection reset by peer").
    const int on = 1;
    if (fd < 0 || ::connect(fd, generic, size) != 0 ||
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
      workload.Die("connect");
    }
    AnswerSequence(workload, fd, fd, 1);
  });
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  const int on = 1;
  if (fd < 0 ||
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
    workload.Die("an accepted socket");
  }
  Conversation conversation(workload, fd, fd, 1);
  for (;;) {
    conversation.Round(workload);
    sockaddr_in now = {};
    size = sizeof now;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&now), &size) != 0 ||
        now.sin_port != address.sin_port) {
      workload.Fail("the connection's port changed to %d", ntohs(now.sin_port));
    }
    int no_delay = 0;
    size = sizeof no_delay;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size) != 0 ||
        no_delay == 0) {
      workload.Fail("the connection lost TCP_NODELAY");
    }
    workload.Beat();
    Workload::Pause();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
