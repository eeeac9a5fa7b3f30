#include "run/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"

extern char** environ;

namespace ckpt::run {
namespace {

constexpr Hook kHooks[] = {Hook::kPreDump, Hook::kPostDump, Hook::kPreRestore,
                           Hook::kPostRestore};

const char* NameOf(Hook hook) {
  switch (hook) {
    case Hook::kPreDump:
      return "pre-dump";
    case Hook::kPostDump:
      return "post-dump";
    case Hook::kPreRestore:
      return "pre-restore";
    case Hook::kPostRestore:
      return "post-restore";
  }
  return "";
}

bool IsAfterwards(Hook hook) {
  return hook == Hook::kPostDump || hook == Hook::kPostRestore;
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In a process group of its own, with the signals of a program that nobody has
// prepared.
absl::StatusOr<pid_t> Spawn(const std::string& path,
                            std::vector<std::string> environment) {
  std::vector<std::string> words = {path};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY,
                                   0);
  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                            POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, path.c_str(), &files, &attributes,
                    Pointers(words).data(), Pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return ErrnoToStatus(error, "start hook", path);
  return pid;
}

// Whether the child ended before the limit; it is not reaped.
absl::StatusOr<bool> WaitForEnd(pid_t pid, absl::Duration limit) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.ok()) return ErrnoToStatus(errno, "pidfd_open", absl::StrCat(pid));
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + limit;
  while (true) {
    const timespec left = absl::ToTimespec(
        std::max(deadline - clock.Now(), absl::ZeroDuration()));
    pollfd fd = {pidfd.get(), POLLIN, 0};
    const int ready = ::ppoll(&fd, 1, &left, nullptr);
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) return ErrnoToStatus(errno, "poll");
  }
}

// The whole process group, the leader last reaped: its number is the group's.
int KillAndReap(pid_t leader) {
  ::kill(-leader, SIGKILL);
  int status = 0;
  while (::waitpid(leader, &status, 0) < 0 && errno == EINTR) {
  }
  // Those that became our children.
  while (::waitpid(-leader, nullptr, 0) > 0 || errno == EINTR) {
  }
  return status;
}

}  // namespace

absl::StatusOr<Hooks> Hooks::Open(const HookOptions& options,
                                  const std::string& job,
                                  const std::string& store) {
  if (options.directory.empty()) return Hooks(options, job, store);
  CKPT_RETURN_IF_ERROR(OpenDirectory(options.directory).status());
  for (const Hook hook : kHooks) {
    const std::string path = absl::StrCat(options.directory, "/", NameOf(hook));
    struct stat info = {};
    if (::stat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) continue;
      return ErrnoToStatus(errno, "stat", path);
    }
    if (!S_ISREG(info.st_mode) || ::access(path.c_str(), X_OK) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, " has the name of a hook, and is not executable"));
    }
  }
  return Hooks(options, job, store);
}

std::vector<std::string> Hooks::Environment(Hook hook,
                                            const HookFacts& facts) const {
  std::vector<std::string> own = {
      absl::StrCat("CKPT_HOOK=", NameOf(hook)),
      absl::StrCat("CKPT_JOB=", job_),
      absl::StrCat("CKPT_STORE=", store_),
      absl::StrCat("CKPT_IMAGE=", facts.image),
      absl::StrCat("CKPT_RESTARTED=", facts.restarts),
  };
  if (IsAfterwards(hook)) {
    own.push_back(absl::StrCat("CKPT_ERROR=", facts.outcome.message()));
  }
  std::vector<std::string> all = own;
  for (char** word = environ; *word != nullptr; ++word) {
    const absl::string_view inherited = *word;
    const absl::string_view name = inherited.substr(0, inherited.find('='));
    const bool replaced =
        name == "CKPT_ERROR" ||
        std::any_of(own.begin(), own.end(), [&](const std::string& ours) {
          return absl::StartsWith(ours, absl::StrCat(name, "="));
        });
    if (!replaced) all.emplace_back(inherited);
  }
  return all;
}

absl::Status Hooks::Run(Hook hook, const HookFacts& facts) const {
  if (options_.directory.empty()) return absl::OkStatus();
  const std::string path = absl::StrCat(options_.directory, "/", NameOf(hook));
  if (::access(path.c_str(), F_OK) != 0) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(const pid_t pid, Spawn(path, Environment(hook, facts)));
  const absl::StatusOr<bool> ended = WaitForEnd(pid, options_.timeout);
  const int status = KillAndReap(pid);
  CKPT_RETURN_IF_ERROR(ended.status());
  if (!*ended) {
    return absl::DeadlineExceededError(
        absl::StrCat("hook ", path, " had not ended after ",
                     absl::FormatDuration(options_.timeout),
                     " and was killed; see --hook-timeout"));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "hook ", path,
      WIFSIGNALED(status)
          ? absl::StrCat(" was ended by signal ", WTERMSIG(status))
          : absl::StrCat(" ended with status ", WEXITSTATUS(status))));
}

}  // namespace ckpt::run
