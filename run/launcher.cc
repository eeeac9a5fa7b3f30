#include "run/launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::run {
namespace {

constexpr unsigned char kInitProgram[] = {
#include "run/init_bytes.inc"
};

// What the child needs, made before the fork.
struct Child {
  int procs_fd;
  int input_fd;
  int output_fd;
  int error_fd;
  int report_fd;
  const char* init;
  char* const* argv;
  char* const* env;
};

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec: system calls only.
[[noreturn]] void BecomeInit(const Child& child) {
  bool ok = ::setsid() >= 0 && ::write(child.procs_fd, "0", 1) == 1 &&
            ::dup2(child.input_fd, STDIN_FILENO) >= 0 &&
            ::dup2(child.output_fd, STDOUT_FILENO) >= 0 &&
            ::dup2(child.error_fd, STDERR_FILENO) >= 0;
  // What ckpt itself was given stays with it: a dump would find it outside.
  ok = ok && ::syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
  if (ok) {
    // Whoever started ckpt may have ignored it, and a job should not inherit
    // what it cannot see.
    (void)::signal(SIGPIPE, SIG_DFL);
    ::execve(child.init, child.argv, child.env);
  }
  const int error = errno;
  (void)!::write(child.report_fd, &error, sizeof(error));
  ::_exit(126);
}

// The init's program in a file, gone with this object.
class InitFile {
 public:
  static absl::StatusOr<InitFile> Create(const std::string& directory) {
    const std::string path = absl::StrCat(directory, "/init");
    (void)::unlink(path.c_str());
    CKPT_ASSIGN_OR_RETURN(
        const UniqueFd fd,
        OpenAt(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0700));
    InitFile file(path);
    CKPT_RETURN_IF_ERROR(
        WriteAll(fd.get(),
                 absl::string_view(reinterpret_cast<const char*>(kInitProgram),
                                   sizeof(kInitProgram)),
                 path));
    return file;
  }

  ~InitFile() {
    if (!path_.empty()) (void)::unlink(path_.c_str());
  }
  InitFile(InitFile&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  InitFile& operator=(InitFile&&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit InitFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

absl::StatusOr<pid_t> Fork(const Child& child) {
  // As fork(), which has no flags.
  const long pid = ::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr,
                             nullptr, nullptr, nullptr);
  if (pid == 0) BecomeInit(child);
  if (pid < 0) return ErrnoToStatus(errno, "start a PID namespace");
  return static_cast<pid_t>(pid);
}

// OK once the exec has closed the pipe.
absl::Status AwaitExec(int pipe_fd, const std::string& init) {
  int error = 0;
  ssize_t count;
  do {
    count = ::read(pipe_fd, &error, sizeof(error));
  } while (count < 0 && errno == EINTR);
  if (count <= 0) return absl::OkStatus();
  return ErrnoToStatus(error, "start the job's init", init);
}

// 0, or an errno value: ENOENT, EACCES.
int WhyNotExecutable(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return EACCES;
  return ::access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

}  // namespace

absl::StatusOr<pid_t> Launch(const LaunchOptions& options) {
  CKPT_ASSIGN_OR_RETURN(const UniqueFd procs,
                        options.group->OpenProcsForWrite());
  CKPT_ASSIGN_OR_RETURN(const UniqueFd input,
                        OpenAt(AT_FDCWD, "/dev/null", O_RDONLY));
  constexpr int kAppend = O_WRONLY | O_CREAT | O_APPEND;
  CKPT_ASSIGN_OR_RETURN(const UniqueFd output,
                        OpenAt(AT_FDCWD, options.output, kAppend, 0644));
  CKPT_ASSIGN_OR_RETURN(const UniqueFd errors,
                        OpenAt(AT_FDCWD, options.error_output, kAppend, 0644));
  CKPT_ASSIGN_OR_RETURN(const InitFile init,
                        InitFile::Create(options.directory));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "pipe");
  const UniqueFd report(ends[0]);
  UniqueFd report_end(ends[1]);

  std::vector<std::string> argv = {"ckpt-init", options.program};
  argv.insert(argv.end(), options.argv.begin(), options.argv.end());
  std::vector<std::string> env = options.env;
  const std::vector<char*> argv_pointers = Pointers(argv);
  const std::vector<char*> env_pointers = Pointers(env);
  CKPT_ASSIGN_OR_RETURN(
      const pid_t pid,
      Fork({procs.get(), input.get(), output.get(), errors.get(),
            report_end.get(), init.path().c_str(), argv_pointers.data(),
            env_pointers.data()}));
  report_end.Reset();
  const absl::Status started = AwaitExec(report.get(), init.path());
  if (started.ok()) return pid;
  (void)::waitpid(pid, nullptr, 0);
  return started;
}

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  if (absl::StrContains(name, '/')) {
    const int error = WhyNotExecutable(name);
    if (error == 0) return name;
    return ErrnoToStatus(error, "run", name);
  }
  const char* path = ::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  const std::string search = path == nullptr ? "/usr/bin:/bin" : path;
  std::string unusable;
  for (const absl::string_view directory : absl::StrSplit(search, ':')) {
    const std::string candidate =
        absl::StrCat(directory.empty() ? "." : directory, "/", name);
    const int error = WhyNotExecutable(candidate);
    if (error == 0) return candidate;
    if (error == EACCES && unusable.empty()) unusable = candidate;
  }
  if (!unusable.empty()) return ErrnoToStatus(EACCES, "run", unusable);
  return absl::NotFoundError(
      absl::StrCat("no program '", name, "' in PATH (", search, ")"));
}

}  // namespace ckpt::run
