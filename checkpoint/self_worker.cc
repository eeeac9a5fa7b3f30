#include "checkpoint/self_worker.h"

#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "checkpoint/self.h"

namespace ckpt::checkpoint {
namespace {

// Of a command line that `ckpt` did not understand: nobody has told the job.
constexpr int kUsageError = 64;

// Whether `word` gives an option that the service gives itself, perhaps by the
// beginning of its name, as getopt_long(3) allows.
bool IsReserved(absl::string_view word) {
  constexpr const char* kReserved[] = {
      "pid",    "mailbox", "request", "image", "timeout",
      "served", "store",   "cgroup",  "owner", "keep",
      "tree",   "group",   "exit",    "early", "within"};
  if (!absl::ConsumePrefix(&word, "--") || word.empty()) return false;
  const absl::string_view name = word.substr(0, word.find('='));
  return std::any_of(std::begin(kReserved), std::end(kReserved),
                     [name](const char* reserved) {
                       return absl::StartsWith(reserved, name);
                     });
}

absl::Status CheckArguments(const std::vector<std::string>& words) {
  const auto reserved = std::find_if(words.begin(), words.end(), &IsReserved);
  if (reserved == words.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("option ", *reserved,
                   " is none for options.arguments: ckpt_self() has flags and "
                   "options for it; nothing was touched"));
}

std::vector<std::string> CommandLine(const SelfCall& call,
                                     const SelfTerms& terms,
                                     const std::string& criu) {
  std::vector<std::string> words = {
      "ckpt",      "self-dump",
      "--pid",     absl::StrCat(call.asker.pid),
      "--mailbox", absl::StrCat("0x", absl::Hex(call.asker.address)),
      "--request", absl::StrCat(call.asker.request),
      "--image",   call.image,
      "--timeout", absl::StrCat(absl::ToInt64Milliseconds(call.timeout), "ms"),
      "--served"};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {flag, value});
  };
  add("--store", terms.store);
  add("--cgroup", call.cgroup);
  add("--criu", criu);
  if (terms.owner.has_value()) add("--owner", absl::StrCat(*terms.owner));
  if (terms.within) words.emplace_back("--within");
  if (call.keep > 0) add("--keep", absl::StrCat(call.keep));
  if (call.tree) words.emplace_back("--tree");
  if (call.group) words.emplace_back("--group");
  if (call.exit) words.emplace_back("--exit");
  if (call.early) words.emplace_back("--early");
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  return words;
}

// In a session of its own: Ctrl-C is for the service alone.
absl::StatusOr<pid_t> Spawn(const std::string& program,
                            std::vector<std::string> words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), nullptr, &attributes,
                                  argv.data(), ::environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error == 0) return pid;
  return WithMessage(ErrnoToStatus(error, "start", program),
                     absl::StrCat(program,
                                  " cannot be started by the service "
                                  "that was asked; nothing was "
                                  "touched"));
}

}  // namespace

absl::StatusOr<SelfWorker> SelfWorker::Start(const SelfCall& call,
                                             const SelfTerms& terms,
                                             const SelfPrograms& programs) {
  CKPT_RETURN_IF_ERROR(CheckArguments(call.arguments));
  CKPT_ASSIGN_OR_RETURN(
      const pid_t pid,
      Spawn(programs.ckpt, CommandLine(call, terms, programs.criu)));
  // A child of ours, and so not reaped by anybody else.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return SelfWorker(
      call.asker,
      terms.has_share ? std::optional<uid_t>(call.uid) : std::nullopt, pid,
      std::move(pidfd));
}

bool SelfWorker::Reap() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == 0) return false;
  // Others have told by themselves.
  if (WIFSIGNALED(status)) {
    (void)TellFailure(asker_,
                      absl::InternalError(absl::StrCat(
                          "ckpt was killed by signal ", WTERMSIG(status),
                          "; the job runs on, and there may be an image")));
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == kUsageError) {
    (void)TellFailure(
        asker_, absl::InvalidArgumentError(
                    "ckpt does not know one of options.arguments; nothing was "
                    "touched"));
  }
  return true;
}

}  // namespace ckpt::checkpoint
