#include "tests/testcases/workload.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>

namespace ckpt {
namespace {

constexpr int kUsageError = 64;   // EX_USAGE of sysexits.h
constexpr int kSetUpFailed = 71;  // EX_OSERR

[[noreturn]] void Refuse(const char* what) {
  std::fprintf(stderr, "%s\nusage: WORKLOAD --status FILE [--NAME VALUE]...\n",
               what);
  ::_exit(kUsageError);
}

// A killed group does not die at once: whoever is left sees broken connections
// for a moment, and must not report them.  The one who kills needs less than a
// millisecond for all, unless he is preempted in between.
void AwaitOwnEnd() {
  constexpr timespec kLongEnough = {0, 200'000'000};
  ::nanosleep(&kLongEnough, nullptr);
}

bool IsRegularFile(int fd) {
  struct stat info;
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

Workload::Workload(int argc, char** argv) : argc_(argc), argv_(argv) {
  path_ = Option("status", "");
  if (path_.empty() || argc % 2 == 0) Refuse("--status FILE is missing");
  if (path_[0] != '/') {
    char* directory = ::getcwd(nullptr, 0);
    if (directory == nullptr) Refuse("there is no working directory");
    path_ = std::string(directory) + "/" + path_;
    std::free(directory);
  }
  if (::setsid() < 0 && ::getsid(0) != ::getpid()) {
    Refuse("a process group leader cannot be made a session leader");
  }
  ::signal(SIGPIPE, SIG_IGN);
  if (::close_range(3, ~0U, 0) != 0) Refuse("close_range failed");
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) Refuse("cannot open /dev/null");
  ::dup2(null, STDIN_FILENO);
  if (!IsRegularFile(STDOUT_FILENO)) ::dup2(null, STDOUT_FILENO);
  if (!IsRegularFile(STDERR_FILENO)) ::dup2(null, STDERR_FILENO);
  if (null > STDERR_FILENO) ::close(null);

  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) Refuse("cannot open the status file");
  if (::chdir("/") != 0) Refuse("cannot change to /");
  StatusRecord record = {};
  record.magic = kStatusMagic;
  record.pid = ::getpid();
  if (::getrandom(&record.run_id, sizeof record.run_id, 0) !=
          sizeof record.run_id ||
      ::pwrite(fd_, &record, sizeof record, 0) != sizeof record) {
    Refuse("cannot write the status file");
  }
}

std::string Workload::Option(const std::string& name,
                             const std::string& fallback) const {
  for (int i = 1; i + 1 < argc_; i += 2) {
    if (argv_[i] == "--" + name) return argv_[i + 1];
  }
  return fallback;
}

int64_t Workload::IntOption(const std::string& name, int64_t fallback) const {
  const std::string text = Option(name, "");
  if (text.empty()) return fallback;
  char* end = nullptr;
  const int64_t value = std::strtoll(text.c_str(), &end, 10);
  if (*end != '\0') Refuse(("--" + name + " takes a number").c_str());
  return value;
}

std::string Workload::FilePath(const std::string& suffix) const {
  return path_ + suffix;
}

void Workload::Beat() {
  ++beats_;
  (void)!::pwrite(fd_, &beats_, sizeof beats_, offsetof(StatusRecord, beat));
}

void Workload::Fail(const char* format, ...) {
  static std::mutex& mutex = *new std::mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  uint64_t errors = ErrorCount();
  if (errors == 0) {
    AwaitOwnEnd();
    char text[sizeof(StatusRecord::error_text)] = {};
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)!::pwrite(fd_, text, sizeof text, offsetof(StatusRecord, error_text));
  }
  ++errors;
  (void)!::pwrite(fd_, &errors, sizeof errors, offsetof(StatusRecord, errors));
}

uint64_t Workload::ErrorCount() const {
  uint64_t errors = 0;
  (void)!::pread(fd_, &errors, sizeof errors, offsetof(StatusRecord, errors));
  return errors;
}

void Workload::Die(const char* what) {
  Fail("%s: %s", what, strerrordesc_np(errno));
  ::_exit(kSetUpFailed);
}

void Workload::Pause() {
  constexpr timespec kPause = {0, 2'000'000};
  ::nanosleep(&kPause, nullptr);
}

pid_t ForkOrDie(Workload& workload) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) workload.Die("fork");
  if (pid == 0) {
    // So that killing the root ends the whole tree.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(0);
  }
  return pid;
}

}  // namespace ckpt
