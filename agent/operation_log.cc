#include "agent/operation_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/make_directories.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ckpt::agent {
namespace {

constexpr char kSuffix[] = ".pb";

}  // namespace

std::string FileOperationLog::PathOf(const std::string& id) const {
  return absl::StrCat(directory_, "/", id, kSuffix);
}

absl::Status FileOperationLog::Save(const v1::Operation& operation) {
  CKPT_RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  const std::string path = PathOf(operation.id());
  const std::string next = path + ".new";
  {
    CKPT_ASSIGN_OR_RETURN(
        const UniqueFd fd,
        OpenAt(AT_FDCWD, next, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    CKPT_RETURN_IF_ERROR(
        WriteAll(fd.get(), operation.SerializeAsString(), next));
  }
  if (std::rename(next.c_str(), path.c_str()) != 0) {
    return ErrnoToStatus(errno, "rename to", path);
  }
  return absl::OkStatus();
}

void FileOperationLog::Remove(const std::string& id) {
  (void)::unlink(PathOf(id).c_str());
}

absl::StatusOr<std::vector<v1::Operation>> FileOperationLog::Load() {
  std::vector<v1::Operation> operations;
  const auto names = ListDirectory(directory_);
  if (absl::IsNotFound(names.status())) return operations;
  CKPT_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, kSuffix)) continue;
    CKPT_ASSIGN_OR_RETURN(const std::string data,
                          ReadFile(absl::StrCat(directory_, "/", name)));
    v1::Operation operation;
    if (operation.ParseFromString(data)) {
      operations.push_back(std::move(operation));
    }
  }
  return operations;
}

}  // namespace ckpt::agent
