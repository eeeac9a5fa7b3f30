#include "tests/e2e/ckpt_runner.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "gtest/gtest.h"

namespace ckpt {
namespace {

constexpr absl::string_view kStoreVerbs[] = {"dump", "restore", "list",
                                             "show", "verify",  "remove",
                                             "pin",  "unpin",   "check"};

}  // namespace

CkptRunner::CkptRunner() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread yet.
  ::setenv("CKPT_RUN_DIR", dir_.File("run").c_str(), 1);
}

std::string CkptRunner::Binary() { return RunfilesPath("cli/ckpt"); }

std::vector<std::string> CkptRunner::CommandLine(
    std::vector<std::string> words) const {
  const bool has_store =
      std::find(std::begin(kStoreVerbs), std::end(kStoreVerbs),
                words.front()) != std::end(kStoreVerbs);
  words.insert(words.begin(), Binary());
  if (has_store) words.insert(words.end(), {"--store", store_});
  return words;
}

CommandResult CkptRunner::Run(std::vector<std::string> words,
                              std::vector<std::string> env) const {
  CommandOptions options;
  options.env = std::move(env);
  options.timeout = absl::Minutes(2);
  const auto result = RunCommand(CommandLine(std::move(words)), options);
  if (result.ok()) return *result;
  ADD_FAILURE() << result.status();
  return {.exit_status = -1, .out = "", .err = ""};
}

std::vector<std::string> DumpFlags(const CriuNeeds& needs) {
  std::vector<std::string> flags;
  if (needs.tcp_established) flags.push_back("--tcp-established");
  if (needs.link_remap) flags.push_back("--link-remap");
  if (needs.file_locks) flags.push_back("--file-locks");
  if (needs.shell_job) flags.push_back("--shell-job");
  if (needs.ghost_limit_bytes > 0) {
    flags.insert(flags.end(),
                 {"--ghost-limit", absl::StrCat(needs.ghost_limit_bytes)});
  }
  return flags;
}

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

}  // namespace ckpt
