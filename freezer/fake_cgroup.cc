// The groups of a fake kernel, as Cgroup; fake_kernel.cc has the kernel.
#include "freezer/fake_cgroup.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"

namespace ckpt::freezer {
namespace {

absl::string_view MountPoint(v1::Hierarchy hierarchy) {
  return hierarchy == v1::HIERARCHY_V1 ? "/fake/freezer" : "/fake/unified";
}

// A nameless file with `text` in it, at its beginning.
UniqueFd MakeFile(absl::string_view text) {
  UniqueFd fd(::memfd_create("fake-cgroup", MFD_CLOEXEC));
  if (!WriteAll(fd.get(), text, "memfd").ok()) std::abort();
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

}  // namespace

// A handle to one group, as Cgroup.
class FakeCgroup : public Cgroup {
 public:
  FakeCgroup(FakeKernel& kernel, FakeKernel::Group& group)
      : kernel_(kernel),
        group_(group),
        path_(absl::StrCat(MountPoint(kernel.hierarchy_), group.path)) {}

  v1::Hierarchy hierarchy() const override { return kernel_.hierarchy_; }
  const std::string& path() const override { return path_; }
  bool is_root() const override { return group_.parent == nullptr; }
  uint64_t id() const override { return group_.id; }

  absl::StatusOr<std::string> Read(const std::string& file) override {
    CKPT_RETURN_IF_ERROR(CheckIsThere());
    FakeKernel::Group* group = &group_;
    absl::string_view name = file;
    while (absl::ConsumePrefix(&name, "../")) {
      group = group->parent;
      if (group == nullptr) {
        return absl::NotFoundError(absl::StrCat("open ", file));
      }
    }
    return kernel_.Read(*group, std::string(name));
  }

  absl::Status Write(const std::string& file, absl::string_view data) override {
    CKPT_RETURN_IF_ERROR(CheckIsThere());
    return kernel_.Write(group_, file, data);
  }

  absl::Status WaitForChange(absl::Duration limit,
                             const Cancellation* cancel) override {
    CKPT_RETURN_IF_ERROR(CheckIsThere());
    if (cancel == nullptr || !cancel->cancelled()) {
      absl::Duration pause = limit;
      if (hierarchy() == v1::HIERARCHY_V2) {
        pause = std::min(pause, kernel_.NextChange() - kernel_.clock_.Now());
      }
      kernel_.clock_.Sleep(pause);
    }
    if (cancel != nullptr && cancel->cancelled()) {
      return absl::CancelledError(absl::StrCat("cancelled; cgroup ", path_));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Cgroup>> Parent() override {
    if (is_root()) {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, " is the root of its hierarchy"));
    }
    CKPT_RETURN_IF_ERROR(CheckIsThere());
    return std::make_unique<FakeCgroup>(kernel_, *group_.parent);
  }

  absl::StatusOr<std::vector<std::unique_ptr<Cgroup>>> Children() override {
    CKPT_RETURN_IF_ERROR(CheckIsThere());
    std::vector<std::unique_ptr<Cgroup>> children;
    for (const auto& group : kernel_.groups_) {
      if (group->parent == &group_ && !group->removed) {
        children.push_back(std::make_unique<FakeCgroup>(kernel_, *group));
      }
    }
    return children;
  }

  absl::StatusOr<UniqueFd> OpenForLock() override {
    CKPT_RETURN_IF_ERROR(CheckIsThere());
    return kernel_.OpenLockFile(group_);
  }

  absl::StatusOr<UniqueFd> Lock() override {
    CKPT_ASSIGN_OR_RETURN(UniqueFd fd, OpenForLock());
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      return absl::UnavailableError(absl::StrCat(
          "cgroup ", path_, " is in use by process ", group_.lock_holder));
    }
    group_.lock_holder = ::getpid();
    return fd;
  }

  pid_t LockHolder() override {
    const auto fd = kernel_.OpenLockFile(group_);
    const bool is_free = fd.ok() && ::flock(fd->get(), LOCK_EX | LOCK_NB) == 0;
    return is_free ? 0 : group_.lock_holder;
  }

  absl::StatusOr<UniqueFd> OpenForWrite(const std::string& file) override {
    CKPT_RETURN_IF_ERROR(CheckIsThere());
    int ends[2];
    // O_DIRECT: each write() stays one write.
    if (::pipe2(ends, O_CLOEXEC | O_DIRECT) != 0) {
      return ErrnoToStatus(errno, "pipe2");
    }
    UniqueFd writer(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK | O_DIRECT);
    kernel_.writers_.push_back({&group_, file, UniqueFd(ends[0])});
    return writer;
  }

  absl::StatusOr<UniqueFd> OpenForRead(const std::string& file) override {
    CKPT_ASSIGN_OR_RETURN(const std::string text, Read(file));
    return MakeFile(text);
  }

 private:
  absl::Status CheckIsThere() const {
    if (!group_.removed) return absl::OkStatus();
    return absl::NotFoundError(
        absl::StrCat("cgroup ", path_, ": No such device"));
  }

  FakeKernel& kernel_;
  FakeKernel::Group& group_;
  const std::string path_;
};

std::unique_ptr<Cgroup> FakeKernel::MakeGroup(const std::string& path) {
  Group& parent = Find(path.substr(0, path.rfind('/')));
  auto group = std::make_unique<Group>();
  group->path = path;
  group->parent = &parent;
  group->id = groups_.size() + 1;
  group->lock_file = MakeFile("");
  groups_.push_back(std::move(group));
  return std::make_unique<FakeCgroup>(*this, *groups_.back());
}

std::unique_ptr<Cgroup> FakeKernel::OpenGroup(const std::string& path) {
  return std::make_unique<FakeCgroup>(*this, Find(path));
}

void FakeKernel::HoldLock(const std::string& path, pid_t holder) {
  Group& group = Find(path);
  auto fd = OpenLockFile(group);
  if (!fd.ok() || ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) std::abort();
  group.held_lock = *std::move(fd);
  group.lock_holder = holder;
}

absl::StatusOr<UniqueFd> FakeKernel::OpenLockFile(const Group& group) const {
  // A new open file description of the same file, as open() gives.
  const std::string path =
      absl::StrCat("/proc/self/fd/", group.lock_file.get());
  return OpenAt(AT_FDCWD, path, O_RDWR);
}

}  // namespace ckpt::freezer
