#include "criu/work_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace ckpt::criu {
namespace {

namespace fs = std::filesystem;

constexpr char kLogRoot[] = "/var/log/ckpt";
constexpr char kPinFile[] = "pinned";

void RemoveTree(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

// Oldest first out.
void Prune(const std::string& root) {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, std::string>> kept;
  for (const fs::directory_entry& entry : fs::directory_iterator(root, error)) {
    const auto time = entry.last_write_time(error);
    if (fs::exists(entry.path() / kPinFile, error) &&
        time > fs::file_time_type::clock::now() -
                   std::chrono::hours(24 * kPinnedDays)) {
      continue;
    }
    if (!error) kept.emplace_back(time, entry.path().string());
  }
  if (kept.size() <= kKeptLogs) return;
  std::sort(kept.begin(), kept.end());
  for (size_t i = 0; i < kept.size() - kKeptLogs; ++i) {
    RemoveTree(kept[i].second);
  }
}

std::string MakeTemporary(const std::string& root, const std::string& name) {
  std::string path = absl::StrCat(root, "/", name, "-XXXXXX");
  return ::mkdtemp(path.data()) == nullptr ? "" : path;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkDir>> WorkDir::Create(
    const std::string& operation, const std::string& name) {
  const std::string prefix = absl::StrCat(operation, "-", name);
  std::string path;
  if (::mkdir(kLogRoot, 0700) == 0 || errno == EEXIST) {
    Prune(kLogRoot);
    path = MakeTemporary(kLogRoot, prefix);
  }
  if (path.empty()) {
    path = MakeTemporary("/tmp", absl::StrCat("ckpt-", prefix));
  }
  if (path.empty()) {
    return ErrnoToStatus(errno, "make a directory for CRIU's log below",
                         absl::StrCat(kLogRoot, " or /tmp"));
  }
  CKPT_ASSIGN_OR_RETURN(UniqueFd fd, OpenDirectory(path));
  return absl::WrapUnique(new WorkDir(std::move(path), std::move(fd)));
}

absl::Status WorkDir::KeepFor(const absl::Status& why) {
  const std::string log = absl::StrCat(path_, "/", kLogName);
  std::error_code missing;
  if (fs::file_size(log, missing) == 0 || missing) return why;
  keep_ = true;
  return WithMessage(why,
                     absl::StrCat(why.message(), " [CRIU's log: ", log, "]"));
}

absl::Status WorkDir::Pin() {
  CKPT_RETURN_IF_ERROR(
      OpenAt(fd_.get(), kPinFile, O_WRONLY | O_CREAT).status());
  pinned_ = true;
  return absl::OkStatus();
}

void WorkDir::Unpin() {
  if (pinned_) (void)::unlinkat(fd_.get(), kPinFile, 0);
  pinned_ = false;
}

WorkDir::~WorkDir() {
  if (!keep_ && !pinned_) RemoveTree(path_);
}

void RemoveLog(const std::string& log) {
  const fs::path directory = fs::path(log).parent_path();
  std::error_code error;
  if (fs::exists(directory / kPinFile, error)) RemoveTree(directory.string());
}

}  // namespace ckpt::criu
