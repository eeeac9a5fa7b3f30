#include "tests/support/test_dir.h"

#include <ftw.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"

namespace ckpt {
namespace {

[[noreturn]] void Die(const char* what, const std::string& path) {
  std::perror(absl::StrCat(what, " ", path).c_str());
  std::abort();
}

// Innermost first: /proc/self/mounts is in the order of mounting.
void UnmountBelow(const std::string& path) {
  const auto mounts = ReadFile("/proc/self/mounts");
  if (!mounts.ok()) return;
  const std::vector<std::string> lines = absl::StrSplit(*mounts, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const std::vector<std::string> fields = absl::StrSplit(*line, ' ');
    if (fields.size() > 1 && absl::StartsWith(fields[1], path + "/")) {
      ::umount2(fields[1].c_str(), MNT_DETACH);
    }
  }
}

int RemoveEntry(const char* path, const struct stat*, int, struct FTW*) {
  return std::remove(path);
}

}  // namespace

TestDir::TestDir() : path_("/tmp/ckpt-test-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) Die("mkdtemp", path_);
}

TestDir::~TestDir() {
  UnmountBelow(path_);
  // Safe without FTW_CHDIR.  NOLINTNEXTLINE(concurrency-mt-unsafe)
  if (::nftw(path_.c_str(), RemoveEntry, /*nopenfd=*/16,
             FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0) {
    std::perror(path_.c_str());
  }
}

std::string TestDir::MakeDirectory(const std::string& name) const {
  std::string path = File(name);
  if (::mkdir(path.c_str(), 0755) != 0) Die("mkdir", path);
  return path;
}

}  // namespace ckpt
