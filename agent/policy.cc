#include "agent/policy.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"

namespace ckpt::agent {
namespace {

// What getpwnam_r(3) and its like need at most.
constexpr size_t kRecordBytes = 64 << 10;

class SystemUserNames : public UserNames {
 public:
  absl::StatusOr<uid_t> UserNumber(const std::string& name) override {
    passwd record = {};
    passwd* found = nullptr;
    std::vector<char> buffer(kRecordBytes);
    ::getpwnam_r(name.c_str(), &record, buffer.data(), buffer.size(), &found);
    if (found == nullptr) {
      return absl::NotFoundError(absl::StrCat("there is no user ", name));
    }
    return found->pw_uid;
  }

  absl::StatusOr<gid_t> GroupNumber(const std::string& name) override {
    group record = {};
    group* found = nullptr;
    std::vector<char> buffer(kRecordBytes);
    ::getgrnam_r(name.c_str(), &record, buffer.data(), buffer.size(), &found);
    if (found == nullptr) {
      return absl::NotFoundError(
          absl::StrCat("there is no group of users ", name));
    }
    return found->gr_gid;
  }

  std::string UserName(uid_t uid) override {
    passwd record = {};
    passwd* found = nullptr;
    std::vector<char> buffer(kRecordBytes);
    ::getpwuid_r(uid, &record, buffer.data(), buffer.size(), &found);
    return found == nullptr ? "" : found->pw_name;
  }
};

// The first error of a text, with its place.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) {
      text = absl::StrCat("line ", line + 1, ", column ", column + 1, ": ",
                          message);
    }
  }
  std::string text;
};

absl::Status CheckPath(absl::string_view path) {
  const bool clean =
      path == "/" || (absl::StartsWith(path, "/") && path.back() != '/' &&
                      !absl::StrContains(path, "//"));
  if (!clean) {
    return absl::InvalidArgumentError(
        absl::StrCat("cgroup \"", path,
                     "\" is no path below a hierarchy, such as \"/\" or "
                     "\"/jobs\""));
  }
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "." || part == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("cgroup \"", path, "\" has a '.' or '..' in it"));
    }
  }
  return absl::OkStatus();
}

bool IsBelow(absl::string_view path, const std::string& top) {
  return top.empty() || path == top ||
         (absl::StartsWith(path, top) && path[top.size()] == '/');
}

template <typename T>
bool Contains(const std::vector<T>& list, const T& element) {
  return std::find(list.begin(), list.end(), element) != list.end();
}

}  // namespace

UserNames& UserNames::Real() {
  static UserNames& names = *new SystemUserNames;
  return names;
}

Policy Policy::WithoutFile() {
  Policy policy;
  policy.entries_.push_back({.everybody = false,
                             .uids = {0},
                             .gids = {},
                             .clients = {},
                             .verbs = {ALL},
                             .cgroups = {""}});
  policy.entries_.push_back({.everybody = true,
                             .uids = {},
                             .gids = {},
                             .clients = {},
                             .verbs = {SELF_DUMP},
                             .cgroups = {""}});
  return policy;
}

absl::StatusOr<Policy::Entry> Policy::ParseRule(const Rule& rule,
                                                UserNames& names) {
  Entry entry;
  for (const std::string& user : rule.local_user()) {
    if (user == "*") {
      entry.everybody = true;
      continue;
    }
    uid_t uid = 0;
    if (!absl::SimpleAtoi(user, &uid)) {
      CKPT_ASSIGN_OR_RETURN(uid, names.UserNumber(user));
    }
    entry.uids.push_back(uid);
  }
  for (const std::string& group : rule.local_group()) {
    gid_t gid = 0;
    if (!absl::SimpleAtoi(group, &gid)) {
      CKPT_ASSIGN_OR_RETURN(gid, names.GroupNumber(group));
    }
    entry.gids.push_back(gid);
  }
  for (const std::string& client : rule.client()) {
    if (client.empty()) {
      return absl::InvalidArgumentError("client \"\" is no name");
    }
    entry.clients.push_back(client);
  }
  for (const int verb : rule.verb()) {
    if (verb == VERB_UNSPECIFIED) {
      return absl::InvalidArgumentError("VERB_UNSPECIFIED is no verb");
    }
    entry.verbs.push_back(static_cast<Verb>(verb));
  }
  for (const std::string& path : rule.cgroup()) {
    CKPT_RETURN_IF_ERROR(CheckPath(path));
    entry.cgroups.push_back(path == "/" ? "" : path);
  }
  const char* const missing = !entry.everybody && entry.uids.empty() &&
                                      entry.gids.empty() &&
                                      entry.clients.empty()
                                  ? "local_user, local_group or client"
                              : entry.verbs.empty()   ? "verb"
                              : entry.cgroups.empty() ? "cgroup"
                                                      : nullptr;
  if (missing != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has no ", missing, ", and so allows nothing"));
  }
  return entry;
}

absl::StatusOr<Policy> Policy::Parse(const std::string& text,
                                     UserNames& names) {
  PolicyFile file;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(text, &file)) {
    return absl::InvalidArgumentError(error.text);
  }
  Policy policy;
  for (int i = 0; i < file.rule_size(); ++i) {
    auto entry = ParseRule(file.rule(i), names);
    if (!entry.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rule ", i + 1, ": ", entry.status().message()));
    }
    policy.entries_.push_back(*std::move(entry));
  }
  return policy;
}

absl::StatusOr<Policy> Policy::Load(const std::string& path, UserNames& names) {
  // Not blocking: a FIFO would have us wait for whoever writes to it.
  CKPT_ASSIGN_OR_RETURN(const UniqueFd fd,
                        OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK));
  struct stat about = {};
  if (::fstat(fd.get(), &about) != 0) return ErrnoToStatus(errno, "stat", path);
  if (!S_ISREG(about.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the policy ", path, " is no regular file: write it to one"));
  }
  if ((about.st_uid != 0 && about.st_uid != ::geteuid()) ||
      (about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the policy ", path, " can be changed by others than root: chown root ",
        path, " && chmod go-w ", path));
  }
  CKPT_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(absl::StrCat("/proc/self/fd/", fd.get())));
  auto policy = Parse(text, names);
  if (policy.ok()) return policy;
  return WithMessage(policy.status(), absl::StrCat("the policy ", path, ": ",
                                                   policy.status().message()));
}

bool Policy::IsFor(const Entry& entry, const Caller& caller, Verb verb) {
  const bool named =
      (caller.uid.has_value() &&
       (entry.everybody || Contains(entry.uids, *caller.uid))) ||
      std::any_of(caller.gids.begin(), caller.gids.end(),
                  [&](gid_t gid) { return Contains(entry.gids, gid); }) ||
      std::any_of(caller.clients.begin(), caller.clients.end(),
                  [&](const std::string& client) {
                    return Contains(entry.clients, client);
                  });
  return named && (Contains(entry.verbs, ALL) || Contains(entry.verbs, verb));
}

bool Policy::Allows(const Caller& caller, Verb verb,
                    absl::string_view cgroup) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return IsFor(entry, caller, verb) &&
           std::any_of(
               entry.cgroups.begin(), entry.cgroups.end(),
               [&](const std::string& top) { return IsBelow(cgroup, top); });
  });
}

bool Policy::AllowsSomewhere(const Caller& caller, Verb verb) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return IsFor(entry, caller, verb);
  });
}

}  // namespace ckpt::agent
