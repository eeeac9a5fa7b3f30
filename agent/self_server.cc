#include "agent/self_server.h"

#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"

namespace ckpt::agent {
namespace {

constexpr char kUsualCkpt[] = "/usr/local/bin/ckpt";
// Whoever works for a job must be able to connect.
constexpr mode_t kForAll = 0666;

}  // namespace

SelfServer::SelfServer(std::unique_ptr<checkpoint::SelfPort> port,
                       SelfDesk& desk, const checkpoint::SelfPrograms& programs)
    : service_(std::move(port), programs,
               [&desk](const checkpoint::SelfCall& call) {
                 return desk.Admit(call);
               }),
      thread_([this] { (void)service_.Serve(stop_); }) {}

absl::StatusOr<std::unique_ptr<SelfServer>> SelfServer::Start(
    const std::string& path, SelfDesk& desk,
    const checkpoint::SelfPrograms& programs) {
  CKPT_ASSIGN_OR_RETURN(auto port, checkpoint::SelfPort::Listen(path, kForAll));
  return absl::WrapUnique(new SelfServer(std::move(port), desk, programs));
}

SelfServer::~SelfServer() {
  stop_.Cancel();
  thread_.join();
}

std::string FindCkpt() {
  std::vector<std::string> directories;
  if (const auto self = ReadLink("/proc/self/exe"); self.ok()) {
    directories.push_back(self->substr(0, self->rfind('/')));
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets it
  if (const char* const path = std::getenv("PATH"); path != nullptr) {
    for (const absl::string_view directory :
         absl::StrSplit(path, ':', absl::SkipEmpty())) {
      directories.emplace_back(directory);
    }
  }
  for (const std::string& directory : directories) {
    std::string candidate = absl::StrCat(directory, "/ckpt");
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return kUsualCkpt;
}

}  // namespace ckpt::agent
