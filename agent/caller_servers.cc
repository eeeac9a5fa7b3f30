#include "agent/caller_servers.h"

#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace ckpt::agent {
namespace {

// Connections of one caller, after which it is looked which have ended.
constexpr size_t kLookAt = 256;

bool IsRoot(const Caller& caller) {
  return caller.uid.has_value() && *caller.uid == 0;
}

// gRPC does not tell when it closes a connection that it was given.
std::set<ino_t> OpenSockets() {
  std::set<ino_t> inodes;
  const std::string directory = "/proc/self/fd";
  const auto names = ListDirectory(directory);
  if (!names.ok()) return inodes;
  for (const std::string& name : *names) {
    const auto target = ReadLink(absl::StrCat(directory, "/", name));
    if (!target.ok()) continue;
    absl::string_view text = *target;
    ino_t inode = 0;
    if (absl::ConsumePrefix(&text, "socket:[") &&
        absl::ConsumeSuffix(&text, "]") && absl::SimpleAtoi(text, &inode)) {
      inodes.insert(inode);
    }
  }
  return inodes;
}

}  // namespace

CallerServers::~CallerServers() {
  const absl::MutexLock lock(&mutex_);
  servers_.clear();
}

size_t CallerServers::Count(bool root) const {
  return static_cast<size_t>(std::count_if(
      servers_.begin(), servers_.end(),
      [root](const auto& entry) { return IsRoot(entry.first) == root; }));
}

void CallerServers::MakeRoom() {
  const std::set<ino_t> open = OpenSockets();
  if (open.empty()) return;  // /proc cannot be read
  for (auto next = servers_.begin(); next != servers_.end();) {
    Entry& entry = next->second;
    std::erase_if(entry.connections,
                  [&open](ino_t inode) { return open.count(inode) == 0; });
    entry.look_at = std::max(kLookAt, 2 * entry.connections.size());
    if (!entry.connections.empty()) {
      ++next;
      continue;
    }
    // Not here: its last calls may take their time.  Too many: the next time.
    if (!enders_.Submit([server = entry.server] {}).ok()) return;
    next = servers_.erase(next);
  }
}

absl::Status CallerServers::Serve(const Caller& caller, UniqueFd connection) {
  struct stat about = {};
  if (::fstat(connection.get(), &about) != 0) {
    return absl::UnavailableError("the connection cannot be looked at");
  }
  const absl::MutexLock lock(&mutex_);
  const bool root = IsRoot(caller);
  const size_t most = root ? kMostOfRoot : most_;
  if (servers_.count(caller) == 0 && Count(root) >= most) {
    MakeRoom();
    if (Count(root) >= most) {
      return absl::UnavailableError(absl::StrCat(
          caller.name, " is one too many: ", most,
          root ? " sets of groups of root" : " others", " are connected"));
    }
  }
  auto found = servers_.find(caller);
  if (found == servers_.end()) {
    std::shared_ptr<CallerServer> server = make_server_(caller);
    if (server == nullptr) {
      return absl::UnavailableError(
          absl::StrCat("there cannot be a server for ", caller.name,
                       " now: descriptors or memory are short"));
    }
    found =
        servers_.emplace(caller, Entry{std::move(server), {}, kLookAt}).first;
  }
  Entry& entry = found->second;
  entry.connections.insert(about.st_ino);
  entry.server->Serve(std::move(connection));
  if (entry.connections.size() >= entry.look_at) MakeRoom();
  return absl::OkStatus();
}

}  // namespace ckpt::agent
