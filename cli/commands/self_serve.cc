#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "checkpoint/self.h"
#include "checkpoint/self_port.h"
#include "cli/command.h"
#include "cli/common.h"
#include "proto/self_request.h"

namespace ckpt::cli {
namespace {

using checkpoint::SelfCall;
using checkpoint::SelfPort;

// Dumps at work at a time; further calls wait in the socket.
constexpr size_t kMostDumps = 16;

bool IsRelative(const std::string& path) {
  return !path.empty() && path.front() != '/';
}

// The command line of the `ckpt self-dump` that does what is asked for.
std::vector<std::string> DumpCommandLine(const SelfCall& call,
                                         const std::string& criu) {
  std::vector<std::string> words = {
      "ckpt",      "self-dump",
      "--pid",     absl::StrCat(call.asker.pid),
      "--mailbox", absl::StrCat("0x", absl::Hex(call.asker.address)),
      "--request", absl::StrCat(call.asker.request),
      "--image",   call.image,
      "--timeout", absl::StrCat(absl::ToInt64Milliseconds(call.timeout), "ms")};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {flag, value});
  };
  add("--store", call.store);
  add("--cgroup", call.cgroup);
  add("--criu", criu);
  if (call.keep > 0) add("--keep", absl::StrCat(call.keep));
  if (call.tree) words.emplace_back("--tree");
  if (call.group) words.emplace_back("--group");
  if (call.exit) words.emplace_back("--exit");
  if (call.early) words.emplace_back("--early");
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  return words;
}

class Service {
 public:
  Service(std::unique_ptr<SelfPort> port, const Context& context,
          std::string criu)
      : port_(std::move(port)), context_(context), criu_(std::move(criu)) {}

  // Until it is cancelled.  Dumps that are at work then go on by themselves.
  absl::Status Serve();

 private:
  struct Work {
    checkpoint::MailboxAddress asker;
    pid_t pid = 0;
    UniqueFd pidfd;
  };

  void Take(const SelfCall& call);
  absl::StatusOr<Work> Start(const SelfCall& call) const;
  void ReapEnded();

  const std::unique_ptr<SelfPort> port_;
  const Context& context_;
  const std::string criu_;
  std::vector<Work> works_;
};

absl::StatusOr<Service::Work> Service::Start(const SelfCall& call) const {
  std::vector<std::string> words = DumpCommandLine(call, criu_);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  Work work;
  work.asker = call.asker;
  // Ctrl-C is for the service alone.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  const int error = ::posix_spawn(&work.pid, "/proc/self/exe", nullptr,
                                  &attributes, argv.data(), ::environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoToStatus(error, "start ckpt self-dump");
  work.pidfd.Reset(static_cast<int>(::syscall(SYS_pidfd_open, work.pid, 0)));
  return work;
}

void Service::Take(const SelfCall& call) {
  const bool is_at_work =
      std::any_of(works_.begin(), works_.end(), [&](const Work& work) {
        return work.asker.pid == call.asker.pid &&
               work.asker.request == call.asker.request;
      });
  if (is_at_work) return;  // it asks again, in case nobody has heard
  if (call.uid != 0) {
    (void)checkpoint::TellFailure(
        call.asker, absl::PermissionDeniedError(absl::StrCat(
                        "user ", call.uid,
                        " may not have anything checkpointed by this service; "
                        "nothing was touched")));
    return;
  }
  if (IsRelative(call.store) ||
      (absl::StrContains(call.image, '/') && IsRelative(call.image))) {
    (void)checkpoint::TellFailure(
        call.asker,
        absl::InvalidArgumentError(
            "the service that was asked is in another directory: give the "
            "whole path of the store; nothing was touched"));
    return;
  }
  auto work = Start(call);
  if (work.ok()) {
    works_.push_back(*std::move(work));
  } else {
    (void)checkpoint::TellFailure(call.asker, work.status());
  }
}

void Service::ReapEnded() {
  for (size_t i = 0; i < works_.size();) {
    int status = 0;
    if (::waitpid(works_[i].pid, &status, WNOHANG) == 0) {
      ++i;
      continue;
    }
    // Others have told by themselves.
    if (WIFSIGNALED(status)) {
      (void)checkpoint::TellFailure(
          works_[i].asker,
          absl::InternalError(
              absl::StrCat("ckpt was killed by signal ", WTERMSIG(status),
                           "; the job runs on, and there may be an image")));
    }
    works_.erase(works_.begin() + static_cast<ptrdiff_t>(i));
  }
}

absl::Status Service::Serve() {
  while (!context_.cancel->cancelled()) {
    std::vector<pollfd> fds = {{context_.cancel->fd(), POLLIN, 0}};
    for (const Work& work : works_)
      fds.push_back({work.pidfd.get(), POLLIN, 0});
    if (works_.size() < kMostDumps) fds.push_back({port_->fd(), POLLIN, 0});
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
      return ErrnoToStatus(errno, "poll");
    }
    ReapEnded();
    while (works_.size() < kMostDumps) {
      const auto call = port_->Receive();
      if (!call.has_value()) break;
      Take(*call);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Output> Run(const Arguments& arguments, const Context& context) {
  CKPT_RETURN_IF_ERROR(arguments.NoPositional());
  std::string path = arguments.Get("socket");
  if (path.empty()) path = CKPT_SELF_SOCKET;
  CKPT_ASSIGN_OR_RETURN(auto port, SelfPort::Listen(path));
  CKPT_RETURN_IF_ERROR(
      Service(std::move(port), context, arguments.Get("criu")).Serve());
  return Output();
}

}  // namespace

Command SelfServeCommand() {
  return {
      "self-serve",
      "make checkpoints for programs that cannot start ckpt outside their job",
      "",
      "A process that is process 1 of its PID namespace, as in most "
      "containers, cannot start anything\noutside of its own tree.  Its "
      "ckpt_self() asks this service, by a socket that must be visible to it,\n"
      "as by a bind mount.  Only root is served.  Ends on Ctrl-C or SIGTERM.",
      "ckpt self-serve --socket /run/ckpt/self.sock",
      /*needs_root=*/true,
      {{"socket", "PATH",
        "where to listen (" CKPT_SELF_SOCKET "); programs look there, or at "
        "$" CKPT_SELF_SOCKET_VARIABLE},
       {"criu", "PATH", "CRIU's program ($CKPT_CRIU, then PATH)"}},
      &Run};
}

}  // namespace ckpt::cli
