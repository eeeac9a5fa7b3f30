#include "criu/session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "criu/left_mount.h"
#include "criu/log.h"

namespace ckpt::criu {
namespace {

// How long an aborted CRIU may take to give the tasks back by itself.
constexpr absl::Duration kAbortLimit = absl::Seconds(3);
// How long CRIU may take to start and tell its version.
constexpr absl::Duration kStartLimit = absl::Seconds(10);
// How long an idle CRIU may take to end when its connection is closed.
constexpr absl::Duration kEndLimit = absl::Seconds(1);

absl::Status Dispatch(const criu_notify& message, Notifications& notify) {
  const std::string& script = message.script();
  if (script == "pre-dump") return notify.PreDump();
  if (script == "post-dump") return notify.PostDump();
  if (script == "network-lock") return notify.NetworkLock();
  if (script == "network-unlock") return notify.NetworkUnlock();
  if (script == "pre-restore") return notify.PreRestore();
  if (script == "post-restore") return notify.PostRestore(message.pid());
  if (script == "setup-namespaces") {
    return notify.SetupNamespaces(message.pid());
  }
  if (script == "post-setup-namespaces") return notify.PostSetupNamespaces();
  if (script == "pre-resume") return notify.PreResume();
  if (script == "post-resume") return notify.PostResume();
  // query-ext-files and those of later versions: nothing to add.
  return absl::OkStatus();
}

// Runs in the child between fork() and exec(): system calls only.
[[noreturn]] void ExecWorker(char* const argv[], char* const envp[],
                             int socket_fd, int null_fd,
                             const StartOptions& options) {
  if (options.cgroup_procs_fd >= 0 &&
      ::write(options.cgroup_procs_fd, "0", 1) != 1) {
    ::_exit(126);
  }
  // A terminal's Ctrl-C is for ckpt, which ends CRIU in order.
  ::setsid();
  sigset_t none;
  sigemptyset(&none);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the child has one thread
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(null_fd, STDIN_FILENO);
  ::dup2(null_fd, STDOUT_FILENO);
  ::dup2(null_fd, STDERR_FILENO);
  ::fcntl(socket_fd, F_SETFD, 0);
  for (const int fd : options.inherited_fds) ::fcntl(fd, F_SETFD, 0);
  ::execve(argv[0], argv, envp);
  ::_exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Start(
    const StartOptions& options) {
  auto session = absl::WrapUnique(new Session);
  CKPT_RETURN_IF_ERROR(session->Spawn(options));
  CKPT_RETURN_IF_ERROR(session->AskVersion(options.binary));
  return session;
}

absl::Status Session::Spawn(const StartOptions& options) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoToStatus(errno, "socketpair for CRIU");
  }
  socket_.Reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  CKPT_ASSIGN_OR_RETURN(const UniqueFd null,
                        OpenAt(AT_FDCWD, "/dev/null", O_RDWR));
  std::string binary = options.binary;
  std::string no_config = "--no-default-config";
  std::string verb = "swrk";
  std::string fd = absl::StrCat(theirs.get());
  char* const argv[] = {binary.data(), no_config.data(), verb.data(), fd.data(),
                        nullptr};
  // No HOME: a user's CRIU configuration must not change what we ask for.
  std::string path =
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char* const envp[] = {path.data(), nullptr};
  // EFBIG instead of death is how AbortWorker() makes CRIU fail in order; a
  // disposition of "ignore" survives exec, and restored tasks get their own
  // back.
  struct sigaction ignore = {}, before = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGXFSZ, &ignore, &before);
  pid_ = ::fork();
  if (pid_ == 0) {
    ExecWorker(argv, envp, theirs.get(), null.get(), options);
  }
  const int error = errno;
  ::sigaction(SIGXFSZ, &before, nullptr);
  if (pid_ < 0) return ErrnoToStatus(error, "fork CRIU");
  pidfd_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_.ok()) return ErrnoToStatus(errno, "pidfd_open", "CRIU");
  return absl::OkStatus();
}

absl::Status Session::AskVersion(const std::string& binary) {
  criu_req request;
  request.set_type(VERSION);
  request.set_keep_open(true);
  absl::Status status = Send(request);
  if (status.ok()) {
    Notifications none;
    const auto reply =
        Receive(none, {.deadline = Clock::Real().Now() + kStartLimit});
    if (reply.ok() && reply->has_version()) {
      version_.major = reply->version().major_number();
      version_.minor = reply->version().minor_number();
      version_.sublevel = reply->version().sublevel();
      return CheckVersion(binary, version_);
    }
    status = reply.ok() ? absl::InternalError("no version in its answer")
                        : reply.status();
  }
  return absl::InternalError(absl::StrCat("CRIU at ", binary,
                                          " does not start: ", status.message(),
                                          "; nothing was touched"));
}

Session::~Session() {
  if (pid_ <= 0) return;
  CloseConnection();
  // It ends by itself when the connection is closed.
  pollfd wait = {pidfd_.get(), POLLIN, 0};
  (void)::poll(&wait, 1,
               static_cast<int>(absl::ToInt64Milliseconds(kEndLimit)));
  ::kill(pid_, SIGKILL);
  Reap();
}

void Session::CloseConnection() {
  if (socket_.ok()) ::shutdown(socket_.get(), SHUT_RDWR);
  socket_.Reset();
}

void Session::Reap() {
  if (pid_ <= 0) return;
  while (::waitpid(pid_, &exit_status_, 0) < 0 && errno == EINTR) {
  }
  // A CRIU that was killed may leave helpers, some of them stopped.  They are
  // in its process group, and what it restored is not.
  if (WIFSIGNALED(exit_status_)) ::kill(-pid_, SIGKILL);
  pid_ = -1;
}

absl::Status Session::Send(const criu_req& request) {
  const std::string data = request.SerializeAsString();
  ssize_t count;
  do {
    count = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(data.size())) return absl::OkStatus();
  if (count < 0 && errno == EPIPE) return DescribeEnd();
  return ErrnoToStatus(errno, "send a message to CRIU");
}

bool Session::was_killed() const {
  return pid_ < 0 && WIFSIGNALED(exit_status_);
}

absl::Status Session::DescribeEnd() {
  pollfd wait = {pidfd_.get(), POLLIN, 0};
  (void)::poll(&wait, 1,
               static_cast<int>(absl::ToInt64Milliseconds(absl::Seconds(1))));
  if (wait.revents == 0) {
    return absl::InternalError("CRIU closed the connection");
  }
  Reap();
  if (WIFSIGNALED(exit_status_)) {
    return absl::InternalError(
        absl::StrCat("CRIU was killed by signal ", WTERMSIG(exit_status_)));
  }
  if (WEXITSTATUS(exit_status_) == 126) {
    return absl::InternalError("CRIU could not be put into the target cgroup");
  }
  if (WEXITSTATUS(exit_status_) == 127) {
    return absl::InternalError("the program could not be executed");
  }
  return absl::InternalError(
      absl::StrCat("CRIU ended with exit status ", WEXITSTATUS(exit_status_)));
}

absl::StatusOr<criu_resp> Session::Receive(Notifications& notify,
                                           const Limits& limits) {
  // The end of the process is watched as well: helpers that a killed CRIU
  // leaves behind hold its end of the socket open.
  pollfd fds[4] = {
      {socket_.get(), POLLIN, 0},
      {limits.cancel == nullptr ? -1 : limits.cancel->fd(), POLLIN, 0},
      {pidfd_.get(), POLLIN, 0},
      {limits.alarm_fd == nullptr ? -1 : limits.alarm_fd(), POLLIN, 0}};
  while (true) {
    const absl::Duration left = limits.deadline - Clock::Real().Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("CRIU did not finish in time");
    }
    const timespec timeout = absl::ToTimespec(std::min(left, absl::Hours(1)));
    const int ready = ::ppoll(fds, 4, &timeout, nullptr);
    if (ready < 0 && errno != EINTR) return ErrnoToStatus(errno, "poll CRIU");
    if (ready > 0 && fds[1].revents != 0) {
      return absl::CancelledError("cancelled");
    }
    if (ready > 0 && fds[3].revents != 0) {
      CKPT_RETURN_IF_ERROR(notify.Alarm());
    }
    if (ready > 0 && fds[0].revents != 0) break;
    if (ready > 0 && fds[2].revents != 0) return DescribeEnd();
  }
  const ssize_t size = ::recv(socket_.get(), nullptr, 0, MSG_TRUNC | MSG_PEEK);
  std::string data(static_cast<size_t>(std::max<ssize_t>(size, 0)), '\0');
  const ssize_t count = ::recv(socket_.get(), data.data(), data.size(), 0);
  if (count <= 0) return DescribeEnd();
  criu_resp reply;
  if (!reply.ParseFromString(data)) {
    return absl::InternalError("CRIU sent a message that is no criu_resp");
  }
  return reply;
}

absl::StatusOr<criu_resp> Session::Serve(criu_req_type type,
                                         Notifications& notify,
                                         const Limits& limits) {
  absl::Status refusal;
  while (true) {
    auto reply = Receive(notify, limits);
    if (!reply.ok()) {
      if (pid_ > 0) AbortWorker(/*writes_image=*/type == DUMP);
      return refusal.ok() ? reply.status() : refusal;
    }
    if (reply->type() != NOTIFY) {
      if (refusal.ok()) return reply;
      return refusal;
    }
    // The first refusal counts: what comes later is CRIU's way back.
    absl::Status status = Dispatch(reply->notify(), notify);
    criu_req answer;
    answer.set_type(NOTIFY);
    answer.set_notify_success(status.ok());
    if (refusal.ok()) refusal = std::move(status);
    if (absl::Status sent = Send(answer); !sent.ok()) {
      if (pid_ > 0) AbortWorker(/*writes_image=*/type == DUMP);
      return refusal.ok() ? sent : refusal;
    }
  }
}

void Session::AbortWorker(bool writes_image) {
  // Without its peer CRIU fails at the next notification; without room for its
  // files it fails before.  Either way it resumes the tasks of a dump.
  ::shutdown(socket_.get(), SHUT_RDWR);
  if (writes_image) {
    const rlimit none = {0, 0};
    (void)::prlimit(pid_, RLIMIT_FSIZE, &none, nullptr);
    pollfd wait = {pidfd_.get(), POLLIN, 0};
    (void)::poll(&wait, 1,
                 static_cast<int>(absl::ToInt64Milliseconds(kAbortLimit)));
  }
  ::kill(pid_, SIGKILL);
  Reap();
}

std::string Session::ReadLog() const {
  if (!log_dir_.ok()) return "";
  auto text = ReadFileAt(log_dir_.get(), log_file_);
  return text.ok() ? *std::move(text) : "";
}

absl::Status Session::Run(const criu_req& request, Notifications& notify,
                          const Limits& limits, absl::string_view operation,
                          criu_resp& reply) {
  log_file_ = request.opts().log_file();
  log_dir_.Reset(::fcntl(request.opts().work_dir_fd(), F_DUPFD_CLOEXEC, 0));
  CKPT_RETURN_IF_ERROR(Send(request));
  auto answer = Serve(request.type(), notify, limits);
  if (!answer.ok()) return answer.status();
  reply = *std::move(answer);
  // The worker has done all that it does, and only frees its memory now; the
  // caller need not wait for that while the job stands still.
  CloseConnection();
  if (reply.type() != request.type()) {
    return absl::InternalError(
        absl::StrCat("CRIU answered a request it was not asked: ",
                     criu_req_type_Name(reply.type())));
  }
  if (reply.success()) return absl::OkStatus();
  return ExplainFailure(operation, ReadLog(), reply.cr_errmsg());
}

absl::Status Session::Dump(const DumpArguments& arguments,
                           Notifications& notify, const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const criu_req request, DumpMessage(arguments));
  RemoveLeftMounts(arguments.pid);
  criu_resp reply;
  return Run(request, notify, limits,
             absl::StrCat("dump process ", arguments.pid), reply);
}

absl::StatusOr<pid_t> Session::Restore(const RestoreArguments& arguments,
                                       Notifications& notify,
                                       const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const criu_req request, RestoreMessage(arguments));
  criu_resp reply;
  CKPT_RETURN_IF_ERROR(
      Run(request, notify, limits, "restore the image", reply));
  return reply.restore().pid();
}

absl::Status Session::CheckKernel(int work_dir_fd, const std::string& log_file,
                                  const Limits& limits) {
  criu_req request;
  request.set_type(CHECK);
  criu_opts& options = *request.mutable_opts();
  options.set_images_dir_fd(work_dir_fd);
  options.set_work_dir_fd(work_dir_fd);
  options.set_log_file(log_file);
  Notifications none;
  criu_resp reply;
  absl::Status status =
      Run(request, none, limits, "work with this kernel", reply);
  if (!absl::IsInternal(status)) return status;
  return absl::FailedPreconditionError(status.message());
}

}  // namespace ckpt::criu
