// A pseudo-terminal with both ends in the tree: the slave is the controlling
// terminal of a child in a session of its own, which echoes and answers line by
// line.
//
// The child echoes, not the terminal: CRIU puts unread input back by writing it
// to the master, where ECHO would show it a second time.  For the same reason
// there is no output processing.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr tcflag_t kLocalFlags = ICANON | ISIG | IEXTEN;
constexpr winsize kSize = {42, 117, 0, 0};

std::string QuestionOf(uint64_t round) {
  return "question " + std::to_string(round);
}

std::string AnswerOf(const std::string& question) {
  uint64_t hash = 0;
  for (const char c : question) hash = Mix(hash, c);
  return "answer " + std::to_string(hash);
}

// Reads up to a newline, which the line is without.  Byte by byte, so that
// often half a line is in the terminal.
std::string ReadLine(int fd) {
  std::string line;
  for (char c;;) {
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return "(end of file)";
    if (c == '\n') return line;
    line += c;
  }
}

void WriteLine(Workload& workload, int fd, const std::string& line) {
  const std::string text = line + "\n";
  if (::write(fd, text.data(), text.size()) !=
      static_cast<ssize_t>(text.size())) {
    workload.Fail("cannot write \"%s\": errno %d", line.c_str(), errno);
  }
}

void SetMode(Workload& workload, int fd) {
  termios mode = {};
  if (::tcgetattr(fd, &mode) != 0) workload.Die("tcgetattr");
  mode.c_lflag = kLocalFlags;
  mode.c_oflag = 0;
  if (::tcsetattr(fd, TCSANOW, &mode) != 0) workload.Die("tcsetattr");
}

// `ready_fd` is closed when the terminal is the child's and set up.
[[noreturn]] void Answer(Workload& workload, const std::string& slave,
                         int ready_fd) {
  if (::setsid() < 0) workload.Die("setsid");
  const int fd = ::open(slave.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0 || ::ioctl(fd, TIOCSCTTY, 0) != 0) workload.Die(slave.c_str());
  SetMode(workload, fd);
  ::close(ready_fd);
  for (;;) {
    const std::string question = ReadLine(fd);
    WriteLine(workload, fd, question);
    WriteLine(workload, fd, AnswerOf(question));
    if (::tcgetpgrp(fd) != ::getpid() || ::tcgetsid(fd) != ::getpid()) {
      workload.Fail("the terminal is no longer the child's");
    }
    const int controlling = ::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (controlling < 0) workload.Fail("/dev/tty: errno %d", errno);
    ::close(controlling);
  }
}

void CheckMode(Workload& workload, int fd) {
  termios mode = {};
  if (::tcgetattr(fd, &mode) != 0 || mode.c_lflag != kLocalFlags ||
      mode.c_oflag != 0) {
    workload.Fail("the terminal has the flags %x and %x", mode.c_lflag,
                  mode.c_oflag);
  }
  winsize size = {};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row != kSize.ws_row ||
      size.ws_col != kSize.ws_col) {
    workload.Fail("the terminal has %d rows and %d columns", size.ws_row,
                  size.ws_col);
  }
}

void Run(Workload& workload) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  char slave[64];
  if (master < 0 || ::unlockpt(master) != 0 ||
      ::ptsname_r(master, slave, sizeof slave) != 0 ||
      ::ioctl(master, TIOCSWINSZ, &kSize) != 0) {
    workload.Die("a pseudo-terminal");
  }
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) workload.Die("pipe2");
  ForkChild(workload, [&] {
    ::close(master);
    ::close(ready[0]);
    Answer(workload, slave, ready[1]);
  });
  ::close(ready[1]);
  char none;
  if (::read(ready[0], &none, 1) != 0) workload.Die("the child's set-up");
  ::close(ready[0]);
  for (;;) {
    const uint64_t round = workload.beats();
    const std::string question = QuestionOf(round);
    WriteLine(workload, master, question);
    const std::string echo = ReadLine(master);
    if (echo != question) {
      workload.Fail("round %lu was echoed as \"%s\"", round, echo.c_str());
    }
    const std::string answer = ReadLine(master);
    if (answer != AnswerOf(question)) {
      workload.Fail("round %lu was answered \"%s\"", round, answer.c_str());
    }
    CheckMode(workload, master);
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
