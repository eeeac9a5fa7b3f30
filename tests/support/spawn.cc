#include "tests/support/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

namespace ckpt {

std::vector<std::string> ProcsPaths(
    const std::vector<const TestCgroup*>& cgroups) {
  std::vector<std::string> paths;
  paths.reserve(cgroups.size());
  for (const TestCgroup* cgroup : cgroups) {
    paths.push_back(cgroup->procs_path());
  }
  return paths;
}

bool JoinCgroups(const std::vector<std::string>& procs_paths) {
  for (const std::string& path : procs_paths) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ::write(fd, "0", 1) != 1) return false;
    ::close(fd);
  }
  return true;
}

void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace ckpt
