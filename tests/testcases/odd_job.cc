#include "tests/testcases/odd_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

namespace ckpt {
namespace {

constexpr int kUsage = 64;
constexpr int kSoftware = 70;
constexpr int kNotHere = 77;

const char* ready_file = nullptr;

void Say(const std::string& word) {
  const std::string made = std::string(ready_file) + ".new";
  const int fd = ::open(made.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::write(fd, word.data(), word.size()) !=
                    static_cast<ssize_t>(word.size())) {
    ::_exit(kSoftware);
  }
  ::close(fd);
  if (::rename(made.c_str(), ready_file) != 0) ::_exit(kSoftware);
}

std::string WithErrno(const char* what, int number) {
  return std::string(what) + ": " + std::generic_category().message(number);
}

}  // namespace

void Fail(const char* what) {
  Say(WithErrno(what, errno));
  ::_exit(kSoftware);
}

void NotHere(const char* what) {
  Say("not here: " + WithErrno(what, errno));
  ::_exit(kNotHere);
}

int Must(long value, const char* what) {
  if (value >= 0) return static_cast<int>(value);
  for (const int unknown : {ENOSYS, ENOENT, ENODEV, ENXIO, EAFNOSUPPORT,
                            EPROTONOSUPPORT, EOPNOTSUPP}) {
    if (errno == unknown) NotHere(what);
  }
  Fail(what);
}

const std::string& ArgumentOf(const OddArguments& arguments, size_t index) {
  if (index >= arguments.size()) {
    errno = EINVAL;
    Fail("argument");
  }
  return arguments[index];
}

int Main(int argc, char** argv) {
  if (argc < 4 || std::strcmp(argv[1], "--ready") != 0) return kUsage;
  ready_file = argv[2];
  const OddArguments arguments(argv + 4, argv + argc);
  for (const auto* kinds :
       {&OddDescriptors(), &OddSockets(), &OddProcesses()}) {
    for (const OddKind& kind : *kinds) {
      if (std::strcmp(kind.name, argv[3]) != 0) continue;
      kind.make(arguments);
      Say("ready");
      for (;;) ::pause();
    }
  }
  return kUsage;
}

}  // namespace ckpt

int main(int argc, char** argv) { return ckpt::Main(argc, argv); }
