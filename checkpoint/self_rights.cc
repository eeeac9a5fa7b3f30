#include "checkpoint/self_rights.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/make_directories.h"
#include "base/status.h"

namespace ckpt::checkpoint {
namespace {

// Hidden, and so no image.
constexpr char kUsers[] = "/.users";

bool SharesNamespace(pid_t pid, const std::string& kind) {
  const auto theirs = ReadLink(absl::StrCat("/proc/", pid, "/ns/", kind));
  const auto ours = ReadLink(absl::StrCat("/proc/self/ns/", kind));
  return theirs.ok() && ours.ok() && *theirs == *ours;
}

// Options of `ckpt self-dump` that name no file of the node and make none.
bool IsHarmless(const std::string& word) {
  constexpr const char* kFlags[] = {"--tcp-established", "--tcp-close",
                                    "--shell-job", "--file-locks",
                                    "--ext-unix-sk"};
  return std::find(std::begin(kFlags), std::end(kFlags), word) !=
         std::end(kFlags);
}

absl::Status CheckArguments(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (IsHarmless(words[i])) continue;
    const bool is_freezer = words[i] == "--freezer" && i + 1 < words.size() &&
                            (words[i + 1] == "v1" || words[i + 1] == "v2");
    if (!is_freezer) {
      return absl::InvalidArgumentError(
          absl::StrCat("option ", words[i],
                       " is for root of this node only; nothing was touched"));
    }
    ++i;
  }
  return absl::OkStatus();
}

}  // namespace

bool IsRootOfNode(const SelfCall& call) {
  return call.uid == 0 && SharesNamespace(call.asker.pid, "mnt") &&
         SharesNamespace(call.asker.pid, "user") && call.CallerRuns();
}

std::string UserStore(const std::string& store, uid_t uid) {
  return absl::StrCat(store, kUsers, "/", uid);
}

absl::StatusOr<SelfTerms> BoundTerms(const SelfCall& call,
                                     const std::string& store) {
  const std::string own = UserStore(store, call.uid);
  if (absl::StrContains(call.image, '/') ||
      (!call.store.empty() && call.store != own)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "images of user ", call.uid, " are in ", own,
        ": name the image without a path, and give no store; nothing was "
        "touched"));
  }
  CKPT_RETURN_IF_ERROR(CheckArguments(call.arguments));
  SelfTerms terms;
  terms.store = own;
  terms.has_share = true;
  terms.within = call.uid == 0;
  if (call.uid != 0) terms.owner = call.uid;
  return terms;
}

absl::Status MakeUserStore(const std::string& store, uid_t uid) {
  return MakeDirectories(UserStore(store, uid), 0700);
}

}  // namespace ckpt::checkpoint
