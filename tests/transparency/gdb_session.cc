#include "tests/transparency/gdb_session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/support/spawn.h"

namespace ckpt {
namespace {

constexpr int kPatienceMs = 60'000;

// The value of `key="..."` in a record; "" if it is not there.
std::string FieldOf(absl::string_view record, absl::string_view key) {
  const std::string begin = absl::StrCat(key, "=\"");
  const size_t place = record.find(begin);
  if (place == absl::string_view::npos) return "";
  record.remove_prefix(place + begin.size());
  return std::string(record.substr(0, record.find('"')));
}

}  // namespace

GdbSession::GdbSession(const std::string& program) {
  int in[2];
  int out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
  const std::vector<std::string> argv = {
      "/usr/bin/gdb", "--nx",
      "--quiet",      "--interpreter=mi2",
      "-iex",         "set startup-with-shell off",
      "-iex",         "set debuginfod enabled off",
      "-iex",         "set mi-async on",
      program};
  const std::vector<char*> words = Pointers(argv);
  gdb_ = ::fork();
  if (gdb_ == 0) {
    ResetSignals();
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(out[1], STDERR_FILENO);
    ::execve(words[0], words.data(), ::environ);
    ::_exit(127);
  }
  to_ = UniqueFd(in[1]);
  from_ = UniqueFd(out[0]);
  ::close(in[0]);
  ::close(out[1]);
}

GdbSession::~GdbSession() {
  if (inferior_ > 0) ::kill(inferior_, SIGKILL);
  ::kill(gdb_, SIGKILL);
  ::waitpid(gdb_, nullptr, 0);
}

bool GdbSession::ReadRecord(std::string& record) {
  size_t end;
  while ((end = unread_.find('\n')) == std::string::npos) {
    pollfd readable = {from_.get(), POLLIN, 0};
    char buffer[4096];
    if (::poll(&readable, 1, kPatienceMs) != 1) return false;
    const ssize_t count = ::read(from_.get(), buffer, sizeof buffer);
    if (count <= 0) return false;
    unread_.append(buffer, static_cast<size_t>(count));
  }
  record = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  if (absl::StartsWith(record, "=thread-group-started")) {
    (void)absl::SimpleAtoi(FieldOf(record, "pid"), &inferior_);
  }
  if (absl::StartsWith(record, "*stopped")) {
    std::string reason = FieldOf(record, "reason");
    if (reason == "signal-received") reason = FieldOf(record, "signal-name");
    stops_.push_back(std::move(reason));
  }
  return true;
}

std::string GdbSession::Do(const std::string& command) {
  const std::string token = absl::StrCat(++commands_);
  const std::string line = absl::StrCat(token, command, "\n");
  if (::write(to_.get(), line.data(), line.size()) !=
      static_cast<ssize_t>(line.size())) {
    return "(none)";
  }
  const std::string mark = token + "^";
  for (std::string record; ReadRecord(record);) {
    if (absl::StartsWith(record, mark)) return record.substr(mark.size());
  }
  return "(none)";
}

int GdbSession::Evaluate(const std::string& expression) {
  const std::string result =
      Do(absl::StrCat("-data-evaluate-expression \"", expression, "\""));
  int value = -1;
  (void)absl::SimpleAtoi(FieldOf(result, "value"), &value);
  return value;
}

std::string GdbSession::NextStop() {
  std::string record;
  while (stops_.empty()) {
    if (!ReadRecord(record)) return "(none)";
  }
  std::string stop = std::move(stops_.front());
  stops_.pop_front();
  return stop;
}

}  // namespace ckpt
