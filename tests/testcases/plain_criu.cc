#include "tests/testcases/plain_criu.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"
#include "tests/support/job.h"

namespace ckpt {

std::string PlainCriu::Path() {
  const char* const chosen =
      std::getenv("CKPT_CRIU");  // NOLINT(concurrency-mt-unsafe)
  if (chosen != nullptr) return chosen;
  const char* const installed = "/opt/ckpt/bin/criu";
  return ::access(installed, X_OK) == 0 ? installed : "criu";
}

absl::StatusOr<std::string> PlainCriu::Version() {
  CKPT_ASSIGN_OR_RETURN(const CommandResult result,
                        RunCommand({Path(), "--version"}));
  for (absl::string_view line : absl::StrSplit(result.out, '\n')) {
    if (absl::ConsumePrefix(&line, "Version: ")) return std::string(line);
  }
  return absl::InternalError(absl::StrCat("no version in ", result.out));
}

std::vector<std::string> PlainCriu::Dump(pid_t pid, const std::string& image,
                                         bool leave_running) const {
  std::vector<std::string> words = {"dump", "--tree", absl::StrCat(pid)};
  if (leave_running) words.push_back("--leave-running");
  return Command(std::move(words), image);
}

std::vector<std::string> PlainCriu::Restore(const std::string& image) const {
  return Command({"restore", "--restore-detached"}, image);
}

std::vector<std::string> PlainCriu::Command(std::vector<std::string> words,
                                            const std::string& image) const {
  words.insert(words.begin(), Path());
  words.insert(words.end(), {"--images-dir", image, "--log-file", "log", "-v2",
                             "--manage-cgroups=ignore"});
  if (needs_.tcp_established) {
    words.insert(words.end(),
                 {"--tcp-established", "--network-lock", "nftables"});
  }
  if (needs_.link_remap) words.push_back("--link-remap");
  if (needs_.file_locks) words.push_back("--file-locks");
  if (needs_.shell_job) words.push_back("--shell-job");
  if (needs_.ghost_limit_bytes > 0) {
    words.insert(words.end(),
                 {"--ghost-limit", absl::StrCat(needs_.ghost_limit_bytes)});
  }
  return words;
}

std::vector<pid_t> PidsOfImage(const std::string& image) {
  std::vector<pid_t> pids;
  const auto names = ListDirectory(image);
  if (!names.ok()) return pids;
  for (const std::string& name : *names) {
    absl::string_view number = name;
    pid_t pid;
    if (absl::ConsumePrefix(&number, "core-") &&
        absl::ConsumeSuffix(&number, ".img") &&
        absl::SimpleAtoi(number, &pid)) {
      pids.push_back(pid);
    }
  }
  return pids;
}

}  // namespace ckpt
