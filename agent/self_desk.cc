#include "agent/self_desk.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ckpt::agent {
namespace {

// Hidden, and so no image.
constexpr char kUsers[] = "/.users";

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

std::string SelfDesk::StoreOf(uid_t uid) const {
  return absl::StrCat(store_, kUsers, "/", uid);
}

absl::Status SelfDesk::CheckWishes(const checkpoint::SelfCall& call) const {
  const std::string own = StoreOf(call.uid);
  if (absl::StrContains(call.image, '/') ||
      (!call.store.empty() && call.store != own)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "images of user ", call.uid, " are in ", own,
        ": name the image without a path, and give no store; nothing was "
        "touched"));
  }
  return CheckArguments(call.arguments);
}

absl::Status SelfDesk::MakeStore(uid_t uid) {
  for (const std::string& path :
       {store_, absl::StrCat(store_, kUsers), StoreOf(uid)}) {
    CKPT_RETURN_IF_ERROR(work_.MakeDirectory(path));
  }
  return absl::OkStatus();
}

absl::StatusOr<checkpoint::SelfTerms> SelfDesk::Admit(
    const checkpoint::SelfCall& call) {
  const Caller caller = work_.CallerOf(call);
  CKPT_RETURN_IF_ERROR(gate_.AdmitVerb(caller, SELF_DUMP, call.image));
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> groups,
                        work_.GroupsOf(call));
  CKPT_RETURN_IF_ERROR(gate_.Admit(caller, SELF_DUMP, groups, call.image));
  checkpoint::SelfTerms terms;
  if (work_.IsRootOfNode(call)) {
    terms.store = call.store.empty() ? store_ : call.store;
    return terms;
  }
  CKPT_RETURN_IF_ERROR(CheckWishes(call));
  CKPT_RETURN_IF_ERROR(MakeStore(call.uid));
  terms.store = StoreOf(call.uid);
  terms.has_share = true;
  if (call.uid != 0) terms.owner = call.uid;
  return terms;
}

}  // namespace ckpt::agent
