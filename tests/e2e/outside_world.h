// What a job can be connected to that is not of it: sockets, a terminal, a
// process.
//
//   OutsideWorld world;
//   argument = world.Replace("%S");   // the path of a listening socket
//   ...                               // the job connects
//   world.Accept();
#ifndef CKPT_TESTS_E2E_OUTSIDE_WORLD_H_
#define CKPT_TESTS_E2E_OUTSIDE_WORLD_H_

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/test_dir.h"

namespace ckpt {

// Not thread-safe.  What cannot be made is a test failure.
class OutsideWorld {
 public:
  OutsideWorld();

  // `text` with, for
  //   %S %Q %U  the path of a stream, seqpacket or datagram unix socket
  //   %P        the port of a TCP socket on the loopback interface
  //   %T        the path of a terminal's slave
  //   %O        the number of a process
  std::string Replace(const std::string& text) const;

  // Accepts what has connected.
  void Accept();

 private:
  UniqueFd Listen(int type, const std::string& path) const;
  UniqueFd ListenTcp();
  UniqueFd OpenTerminal();

  const TestDir dir_;
  int port_ = 0;  // before what sets it
  std::string slave_;
  UniqueFd stream_, seqpacket_, datagram_, tcp_, terminal_;
  std::vector<UniqueFd> accepted_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_E2E_OUTSIDE_WORLD_H_
