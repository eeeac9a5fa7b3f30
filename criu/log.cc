#include "criu/log.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ckpt::criu {
namespace {

constexpr size_t kQuotedLines = 4;

// Printed without CAP_SYS_RESOURCE, and by the end of every cgroup helper.
constexpr absl::string_view kHarmless[] = {
    "Can't setup RLIMIT_NOFILE for self",
    "cgroupd: recv req error",
    "RPC client reported script error",
};

struct Hint {
  absl::string_view text;  // in CRIU's log
  absl::StatusCode code;
  absl::string_view advice;
};

constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

// First match wins.  Texts are those of CRIU 4.1 (criu/*.c).
constexpr Hint kHints[] = {
    {"No space left on device", absl::StatusCode::kResourceExhausted,
     "make room, or choose another place with --store or --image"},
    {"consider using --tcp-established", kPrecondition,
     "the job has open TCP connections: use --tcp-established to keep them or "
     "--tcp-close to drop them"},
    {"Use link-remap option", kPrecondition,
     "a deleted file has another hard link: use --link-remap"},
    {"Can't dump ghost file", kPrecondition,
     "a deleted file is larger than the limit: use --ghost-limit"},
    {"doesn't live in IPC ns", kPrecondition,
     "the job uses System V shared memory of the host: start it in an IPC "
     "namespace of its own (unshare --ipc)"},
    {"Can't get rlimit", kPrecondition,
     "the job has another user id, and ckpt lacks CAP_SYS_RESOURCE: give ckpt "
     "that capability, or run the job in a user namespace"},
    {"--shell-job option", kPrecondition,
     "the job belongs to a shell's session or terminal: use --shell-job, or "
     "start it with setsid"},
    {"A session leader of", kPrecondition,
     "the job belongs to a session outside its tree: use --shell-job, or start "
     "it with setsid"},
    {"External socket is used", kPrecondition,
     "a unix socket has its peer outside the job: use --ext-unix-sk"},
    {"Can't dump half of stream unix connection", kPrecondition,
     "a unix stream socket is connected to a process outside the job: end that "
     "connection first"},
    {"Can't lookup mount=", kPrecondition,
     "the job has a file open that lies outside its mount namespace, mostly "
     "one that it was started with: start it with descriptors opened inside"},
    {"Some file locks are hold", kPrecondition,
     "the job holds file locks: use --file-locks"},
    {"Can't lock network", kPrecondition,
     "no firewall backend works: use --network-lock nftables or skip"},
    {"Iptables configuration failed", kPrecondition,
     "no firewall backend works: use --network-lock nftables or skip"},
    {"Cannot assign requested address", kPrecondition,
     "a socket's address does not exist on this node: add it, or dump with "
     "--tcp-close"},
    {"has bad size", kPrecondition,
     "a file that the job has open changed its size since the dump: give it "
     "its "
     "former size"},
    {"has bad build-ID", kPrecondition,
     "a program or library that the job maps was replaced since the dump: put "
     "back the former one"},
    {"has bad mode", kPrecondition, "give the file its former mode"},
    {"Can't create ghost regfile: File exists", kPrecondition,
     "a restore that was killed has left NAME.cr.N.ghost beside a deleted file "
     "of the job ('ckpt show' lists those): remove it"},
    {"File exists", kPrecondition,
     "a process id of the image is taken: end that process, or restore in a "
     "PID namespace of its own"},
    {"Unseizable non-zombie", kPrecondition,
     "a task of the job cannot be stopped by ptrace: see 'ckpt status'"},
    {"io_uring", kPrecondition,
     "CRIU cannot dump io_uring: let the job use another interface"},
    {"Can't open file", kPrecondition, "put the file back where it was"},
    {"Can't open cwd", kPrecondition, "make the job's working directory again"},
};

// "(00.012345) Error (criu/x.c:1): text" -> "Error (criu/x.c:1): text"
absl::string_view WithoutTime(absl::string_view line) {
  if (absl::StartsWith(line, "(")) {
    const size_t close = line.find(") ");
    if (close != absl::string_view::npos) line.remove_prefix(close + 2);
  }
  absl::ConsumePrefix(&line, " ");
  // Restored tasks put their pid in front: "   42: Error ...".
  const size_t error = line.find("Error (");
  return error == absl::string_view::npos ? line : line.substr(error);
}

bool IsHarmless(absl::string_view line) {
  return std::any_of(
      std::begin(kHarmless), std::end(kHarmless),
      [&](absl::string_view text) { return absl::StrContains(line, text); });
}

}  // namespace

std::vector<std::string> LastErrors(absl::string_view log, size_t count) {
  std::vector<std::string> errors;
  for (const absl::string_view line :
       absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    if (!absl::StrContains(line, "Error (") || IsHarmless(line)) continue;
    const absl::string_view text = WithoutTime(line);
    if (std::find(errors.begin(), errors.end(), text) == errors.end()) {
      errors.emplace_back(text);
    }
  }
  if (errors.size() > count) {
    errors.erase(errors.begin(),
                 errors.end() - static_cast<std::ptrdiff_t>(count));
  }
  return errors;
}

absl::Status ExplainFailure(absl::string_view operation, absl::string_view log,
                            absl::string_view reply_message) {
  std::vector<std::string> lines = LastErrors(log, kQuotedLines);
  if (lines.empty() && !reply_message.empty() && !IsHarmless(reply_message)) {
    lines.emplace_back(reply_message);
  }
  const std::string quote =
      lines.empty() ? "it gave no reason" : absl::StrJoin(lines, " | ");
  for (const Hint& hint : kHints) {
    if (absl::StrContains(log, hint.text) ||
        absl::StrContains(reply_message, hint.text)) {
      return absl::Status(hint.code,
                          absl::StrCat("CRIU could not ", operation, ": ",
                                       hint.advice, " [CRIU: ", quote, "]"));
    }
  }
  return absl::InternalError(
      absl::StrCat("CRIU could not ", operation, ": ", quote));
}

bool ShowsRelease(absl::string_view log) {
  // Written when the last task was detached from (cr-restore.c).
  return absl::StrContains(log, "Restore finished successfully");
}

bool ShowsLostMemory(absl::string_view log) {
  return absl::StrContains(log, "Can't read mapping page");
}

}  // namespace ckpt::criu
