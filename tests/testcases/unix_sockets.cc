// Unix sockets within one tree: a socketpair, a connection to a named stream
// socket that keeps listening, and datagrams in flight to a named socket.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include "tests/testcases/pattern.h"
#include "tests/testcases/sequence.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

sockaddr_un AddressOf(Workload& workload, const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    workload.Die("a socket beside the status file");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  ::unlink(path.c_str());
  return address;
}

int BoundSocket(Workload& workload, int type, const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address),
                       sizeof address) != 0) {
    workload.Die("bind");
  }
  return fd;
}

int ConnectedSocket(Workload& workload, int type, const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address),
                          sizeof address) != 0) {
    workload.Die("connect");
  }
  return fd;
}

// Datagrams of changing length, a few of them always in the queue.
class Datagrams {
 public:
  static constexpr uint64_t kInFlight = 6;  // net.unix.max_dgram_qlen is 10

  Datagrams(Workload& workload, const sockaddr_un& address)
      : in_(BoundSocket(workload, SOCK_DGRAM, address)),
        out_(ConnectedSocket(workload, SOCK_DGRAM, address)) {
    for (uint64_t i = 0; i < kInFlight; ++i) Send(workload);
  }

  void Round(Workload& workload) {
    Receive(workload);
    Send(workload);
  }

 private:
  static constexpr size_t kMaxWords = 64;

  static size_t WordsOf(uint64_t number) { return 1 + number % kMaxWords; }

  void Send(Workload& workload) {
    uint64_t words[kMaxWords];
    const size_t count = WordsOf(sent_);
    for (size_t i = 0; i < count; ++i) words[i] = Mix(sent_, i);
    const ssize_t put = ::send(out_, words, count * sizeof words[0], 0);
    if (put != static_cast<ssize_t>(count * sizeof words[0])) {
      workload.Fail("datagram %lu: send is %zd, errno %d", sent_, put, errno);
    }
    ++sent_;
  }

  void Receive(Workload& workload) {
    uint64_t words[kMaxWords];
    const size_t count = WordsOf(received_);
    const ssize_t got = ::recv(in_, words, sizeof words, MSG_DONTWAIT);
    if (got != static_cast<ssize_t>(count * sizeof words[0])) {
      workload.Fail("datagram %lu: recv is %zd instead of %zu, errno %d",
                    received_, got, count * sizeof words[0], errno);
    } else {
      for (size_t i = 0; i < count; ++i) {
        if (words[i] != Mix(received_, i)) {
          workload.Fail("datagram %lu is damaged", received_);
        }
      }
    }
    ++received_;
  }

  int in_;
  int out_;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
};

void Run(Workload& workload) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    workload.Die("socketpair");
  }
  ForkChild(workload, [&] {
    ::close(pair[0]);
    AnswerSequence(workload, pair[1], pair[1], 1);
  });
  ::close(pair[1]);

  const sockaddr_un address = AddressOf(workload, workload.FilePath(".stream"));
  const int listener = BoundSocket(workload, SOCK_STREAM, address);
  if (::listen(listener, 1) != 0) workload.Die("listen");
  ForkChild(workload, [&] {
    ::close(pair[0]);
    ::close(listener);
    const int fd = ConnectedSocket(workload, SOCK_STREAM, address);
    AnswerSequence(workload, fd, fd, 2);
  });
  const int accepted = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (accepted < 0) workload.Die("accept4");

  Conversation by_pair(workload, pair[0], pair[0], 1);
  Conversation by_name(workload, accepted, accepted, 2);
  Datagrams datagrams(workload,
                      AddressOf(workload, workload.FilePath(".dgram")));
  for (;;) {
    by_pair.Round(workload);
    by_name.Round(workload);
    datagrams.Round(workload);
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) !=
            0 ||
        listening != 1) {
      workload.Fail("the named socket listens no more");
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
