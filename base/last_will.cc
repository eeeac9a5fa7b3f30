#include "base/last_will.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>
#include <utility>

#include "base/fault.h"
#include "base/status.h"

namespace ckpt {
namespace {

// Words to the executor, each the first byte of what is sent.
constexpr char kDisarm = 'd';
constexpr char kHandOver = 'h';
constexpr char kStop = 's';  // while it prints

// How the executor ends.
constexpr int kVoid = 0;
constexpr int kCarriedOut = 1;

// After kHandOver.  What follows: a byte for each part, 1 if it is to be done,
// and the text.
struct TextHeader {
  int output_fd;
  size_t size;  // of both
};

// read() of exactly `size` bytes; false at end-of-file and on errors.
bool ReadExactly(int fd, void* data, size_t size) {
  auto* to = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t count = ::read(fd, to, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    to += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

// Never by SIGPIPE.
bool SendAll(int fd, const void* data, size_t size) {
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = ::send(fd, from, size, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    from += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

// Writes all of `text`; 0, or an errno: ECANCELED when `life_fd` says so.  That
// its other end is closed is no reason to stop: what is there is the whole
// text, and whoever reads it must get it.
int Print(int output_fd, const char* text, size_t size, int life_fd) {
  while (size > 0) {
    pollfd fds[2] = {{output_fd, POLLOUT, 0}, {life_fd, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return errno;
    if (fds[1].revents != 0) {
      char word = 0;
      if (::read(life_fd, &word, 1) == 1 && word == kStop) return ECANCELED;
      life_fd = -1;
    }
    if (fds[0].revents == 0) continue;
    // A pipe that poll() calls writable takes that much without blocking.
    const ssize_t count =
        ::write(output_fd, text, std::min<size_t>(size, PIPE_BUF));
    if (count < 0 && errno != EINTR && errno != EAGAIN) return errno;
    if (count <= 0) continue;
    text += count;
    size -= static_cast<size_t>(count);
  }
  return 0;
}

}  // namespace

LastWill::~LastWill() { (void)Disarm(); }

bool LastWill::TakeOver(int life_fd) const {
  TextHeader header = {};
  if (!ReadExactly(life_fd, &header, sizeof(header))) return false;
  void* text =
      ::mmap(nullptr, std::max<size_t>(header.size, 1), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const size_t parts = parts_.size();
  int error = 0;
  if (text == MAP_FAILED) {
    error = ENOMEM;
  } else if (!ReadExactly(life_fd, text, header.size)) {
    return false;
  } else {
    // First, while it can still fail: nobody was told yet.  The will removes
    // the tokens, which calls the leases off.
    for (const Lease* lease : leases_) {
      if (!lease->Fork()) error = EAGAIN;
    }
  }
  if (error == 0) {
    error = Print(header.output_fd, static_cast<const char*>(text) + parts,
                  header.size - parts, life_fd);
  }
  if (error == 0) {
    for (size_t i = 0; i < parts; ++i) {
      if (static_cast<const char*>(text)[i] != 0) parts_[i].CarryOut();
    }
    after_hand_over_.CarryOut();
  }
  if (error != 0) CarryOut();
  // After everything: whoever is told must find it done.
  (void)SendAll(life_fd, &error, sizeof(error));
  ::_exit(error == 0 ? kVoid : kCarriedOut);
}

void LastWill::Execute(int life_fd) const {
  // A terminal's Ctrl-C or hang-up is for the parent, not for its executor.
  ::setsid();
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    ::signal(number, SIG_IGN);
  }
  ::prctl(PR_SET_NAME, "ckpt-guardian");
  // Anything else that stays open here would outlive the parent: its sockets
  // must show end-of-file to their peers.
  CloseOthers(keep_sorted_);

  char word = 0;
  if (ReadExactly(life_fd, &word, 1)) {
    if (word == kDisarm) ::_exit(kVoid);
    if (word == kHandOver) TakeOver(life_fd);
  }
  CarryOut();
  ::_exit(kCarriedOut);
}

absl::Status LastWill::Arm() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoToStatus(errno, "socketpair for the guardian");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  keep_sorted_ = keep_open_;
  keep_sorted_.push_back(theirs.get());
  AppendDescriptors(keep_sorted_);
  for (const PreparedSteps& part : parts_) part.AppendDescriptors(keep_sorted_);
  after_hand_over_.AppendDescriptors(keep_sorted_);
  for (Lease* lease : leases_) lease->Prepare(keep_sorted_);
  keep_sorted_ = SortedDescriptors(std::move(keep_sorted_));
  const pid_t child = ::fork();
  if (child < 0) return ErrnoToStatus(errno, "fork the guardian");
  if (child == 0) Execute(theirs.get());
  executor_ = child;
  life_ = std::move(ours);
  return absl::OkStatus();
}

// Exit status of the executor, or -1 when it did not exit by itself.
int LastWill::Reap() {
  life_.Reset();
  int status = 0;
  pid_t reaped;
  do {
    reaped = ::waitpid(executor_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  executor_ = -1;
  return reaped > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

absl::Status LastWill::Disarm() {
  if (executor_ < 0) return absl::OkStatus();
  // A missing executor must not kill us with SIGPIPE.
  const bool told = SendAll(life_.get(), &kDisarm, 1);
  if (Reap() == kVoid && told) return absl::OkStatus();
  return absl::InternalError("the guardian process ended before its time");
}

// The errno that the executor answers with; -1 when it does not.
int LastWill::WaitForAnswer(const Cancellation* cancel) {
  int cancel_fd = cancel == nullptr ? -1 : cancel->fd();
  int error = -1;
  while (true) {
    pollfd fds[2] = {{life_.get(), POLLIN, 0}, {cancel_fd, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return -1;
    if (fds[0].revents != 0) {
      return ReadExactly(life_.get(), &error, sizeof(error)) ? error : -1;
    }
    if (fds[1].revents != 0) {
      (void)SendAll(life_.get(), &kStop, 1);
      cancel_fd = -1;
    }
  }
}

absl::Status LastWill::HandOver(absl::string_view text, int output_fd,
                                const Cancellation* cancel,
                                const std::set<size_t>& left_out) {
  std::string message(parts_.size(), '\1');
  for (const size_t part : left_out) message[part] = '\0';
  message.append(text.data(), text.size());
  const TextHeader header = {output_fd, message.size()};
  int error = -1;
  const std::string half = message.substr(0, message.size() / 2);
  const std::string rest = message.substr(half.size());
  if (SendAll(life_.get(), &kHandOver, 1) &&
      SendAll(life_.get(), &header, sizeof(header)) &&
      SendAll(life_.get(), half.data(), half.size()) &&
      FaultPoint("handover.half").ok() &&
      SendAll(life_.get(), rest.data(), rest.size())) {
    error = WaitForAnswer(cancel);
  }
  const int exit_status = Reap();
  if (error == 0 && exit_status == kVoid) return absl::OkStatus();
  if (error == ECANCELED) return absl::CancelledError("cancelled");
  if (error > 0) return ErrnoToStatus(error, "write to standard output");
  return absl::InternalError("the guardian process ended before its time");
}

}  // namespace ckpt
