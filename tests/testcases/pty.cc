// A pseudo-terminal with both ends in the tree: the slave is the controlling
// terminal of a child in a session of its own, which answers line by line.
//
// Without echo: CRIU gives a terminal its unread input back by writing it anew,
// which a terminal with echo repeats to the master.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr winsize kSize = {42, 117, 0, 0};

std::string QuestionOf(uint64_t round) {
  return "question " + std::to_string(round);
}

std::string AnswerOf(const std::string& question) {
  uint64_t hash = 0;
  for (const char c : question) hash = Mix(hash, c);
  return "answer " + std::to_string(hash);
}

// Reads up to a newline; the line is without it and without the carriage return
// that the terminal adds.
std::string ReadLine(int fd) {
  std::string line;
  for (char c;;) {
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return "(end of file)";
    if (c == '\n') return line;
    if (c != '\r') line += c;
  }
}

void WriteLine(Workload& workload, int fd, const std::string& line) {
  const std::string text = line + "\n";
  if (::write(fd, text.data(), text.size()) !=
      static_cast<ssize_t>(text.size())) {
    workload.Fail("cannot write \"%s\": errno %d", line.c_str(), errno);
  }
}

[[noreturn]] void Answer(Workload& workload, const std::string& slave) {
  if (::setsid() < 0) workload.Die("setsid");
  const int fd = ::open(slave.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0 || ::ioctl(fd, TIOCSCTTY, 0) != 0) workload.Die(slave.c_str());
  for (;;) {
    WriteLine(workload, fd, AnswerOf(ReadLine(fd)));
    if (::tcgetpgrp(fd) != ::getpid() || ::tcgetsid(fd) != ::getpid()) {
      workload.Fail("the terminal is no longer the child's");
    }
    const int controlling = ::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (controlling < 0) workload.Fail("/dev/tty: errno %d", errno);
    ::close(controlling);
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
  termios settings = {};
  if (::tcgetattr(master, &settings) != 0) workload.Die("tcgetattr");
  settings.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  if (::tcsetattr(master, TCSANOW, &settings) != 0) workload.Die("tcsetattr");
  ForkChild(workload, [&] {
    ::close(master);
    Answer(workload, slave);
  });
  for (;;) {
    const uint64_t round = workload.beats();
    const std::string question = QuestionOf(round);
    WriteLine(workload, master, question);
    const std::string answer = ReadLine(master);
    if (answer != AnswerOf(question)) {
      workload.Fail("round %lu was answered \"%s\"", round, answer.c_str());
    }
    winsize size = {};
    if (::ioctl(master, TIOCGWINSZ, &size) != 0 ||
        size.ws_row != kSize.ws_row || size.ws_col != kSize.ws_col) {
      workload.Fail("the terminal has %d rows and %d columns", size.ws_row,
                    size.ws_col);
    }
    if (::tcgetattr(master, &settings) != 0 ||
        (settings.c_lflag & (ECHO | ICANON)) != ICANON) {
      workload.Fail("the terminal's modes are %#x", settings.c_lflag);
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
