#include "tests/e2e/outside_world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace ckpt {

OutsideWorld::OutsideWorld()
    : stream_(Listen(SOCK_STREAM, dir_.File("S"))),
      seqpacket_(Listen(SOCK_SEQPACKET, dir_.File("Q"))),
      datagram_(Listen(SOCK_DGRAM, dir_.File("U"))),
      tcp_(ListenTcp()),
      terminal_(OpenTerminal()) {}

UniqueFd OutsideWorld::Listen(int type, const std::string& path) const {
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                   sizeof(address)),
            0);
  if (type != SOCK_DGRAM) {
    EXPECT_EQ(::listen(fd.get(), 8), 0);
  }
  return fd;
}

UniqueFd OutsideWorld::ListenTcp() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(fd.get(), generic, size), 0);
  EXPECT_EQ(::listen(fd.get(), 8), 0);
  EXPECT_EQ(::getsockname(fd.get(), generic, &size), 0);
  port_ = ntohs(address.sin_port);
  return fd;
}

UniqueFd OutsideWorld::OpenTerminal() {
  UniqueFd fd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  EXPECT_EQ(::grantpt(fd.get()), 0);
  EXPECT_EQ(::unlockpt(fd.get()), 0);
  char name[64] = "";
  EXPECT_EQ(::ptsname_r(fd.get(), name, sizeof(name)), 0);
  slave_ = name;
  return fd;
}

std::string OutsideWorld::Replace(const std::string& text) const {
  return absl::StrReplaceAll(text, {{"%S", dir_.File("S")},
                                    {"%Q", dir_.File("Q")},
                                    {"%U", dir_.File("U")},
                                    {"%P", absl::StrCat(port_)},
                                    {"%T", slave_},
                                    {"%O", absl::StrCat(::getpid())}});
}

void OutsideWorld::Accept() {
  for (const UniqueFd* listener : {&stream_, &seqpacket_, &tcp_}) {
    UniqueFd fd(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd.ok()) accepted_.push_back(std::move(fd));
  }
}

}  // namespace ckpt
