#include "agent/real_work.h"

#include <fcntl.h>

#include <cstddef>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "checkpoint/dump.h"
#include "criu/binary.h"
#include "freezer/cgroup.h"
#include "freezer/journal.h"
#include "freezer/lookup.h"
#include "freezer/recover.h"
#include "node/groups.h"
#include "node/images.h"
#include "preflight/preflight.h"
#include "restore/restore.h"

namespace ckpt::agent {
namespace {

// How long a guardian may take to give a group back
// (docs/life_of_a_dump.md: two seconds).
constexpr absl::Duration kGuardianLimit = absl::Seconds(10);
constexpr absl::Duration kGuardianPause = absl::Milliseconds(20);

absl::StatusOr<GroupPlace> Place(std::string directory) {
  GroupPlace place;
  CKPT_ASSIGN_OR_RETURN(place.path, freezer::PathInHierarchy(directory));
  place.directory = std::move(directory);
  return place;
}

absl::StatusOr<GroupPlace> FindPlace(const std::string& name,
                                     v1::Hierarchy hierarchy) {
  CKPT_ASSIGN_OR_RETURN(const auto group, freezer::FindCgroup(name, hierarchy));
  CKPT_ASSIGN_OR_RETURN(GroupPlace place, Place(group->path()));
  place.hierarchy = group->hierarchy();
  return place;
}

// How many processes a group has once nobody holds it any more.
size_t CountProcesses(const std::string& directory) {
  const auto group = freezer::OpenCgroup(directory);
  if (!group.ok()) return 0;
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kGuardianLimit;
  while ((*group)->LockHolder() != 0 && clock.Now() < deadline) {
    clock.Sleep(kGuardianPause);
  }
  const auto pids = (*group)->SubtreeProcesses();
  return pids.ok() ? pids->size() : 0;
}

}  // namespace

absl::StatusOr<GroupPlace> RealGroupWork::Find(const std::string& name,
                                               v1::Hierarchy hierarchy) {
  return FindPlace(name, hierarchy);
}

absl::StatusOr<v1::FreezeResponse> RealGroupWork::Freeze(
    const v1::FreezeRequest& request, const Cancellation& cancel) {
  // The guardian prints the report of a freeze, after which it stands.  Here
  // nobody reads it: the caller is answered over the network.
  CKPT_ASSIGN_OR_RETURN(const UniqueFd nowhere,
                        OpenAt(AT_FDCWD, "/dev/null", O_WRONLY));
  CKPT_ASSIGN_OR_RETURN(node::FrozenGroups frozen,
                        node::Freeze(request, nowhere.get(), &cancel));
  if (frozen.guarded != nullptr) {
    CKPT_RETURN_IF_ERROR(frozen.guarded->HandOver("\n", &cancel));
  }
  return std::move(frozen.response);
}

absl::StatusOr<v1::FreezeResponse> RealGroupWork::Thaw(
    const v1::ThawRequest& request, const Cancellation& cancel) {
  return node::Thaw(request, &cancel);
}

absl::StatusOr<v1::KillResponse> RealGroupWork::Kill(
    const v1::KillRequest& request, const Cancellation& cancel) {
  return node::Kill(request, &cancel);
}

absl::StatusOr<v1::StatusResponse> RealGroupWork::Status(
    const v1::StatusRequest& request) {
  return node::Status(request);
}

absl::StatusOr<v1::VerifyFreezeReport> RealGroupWork::VerifyFreeze(
    const v1::VerifyFreezeRequest& request) {
  return node::VerifyFreeze(request.cgroup(), request.hierarchy(),
                            {.root = request.tree(),
                             .except = request.except(),
                             .subtree = request.subtree()});
}

absl::StatusOr<v1::RecoverReport> RealGroupWork::Recover(
    const v1::RecoverRequest& request) {
  return freezer::Recover(freezer::Journal::Default(),
                          {.dry_run = request.dry_run()});
}

absl::Status RealGroupWork::Watch(
    const v1::WatchRequest& request, const Cancellation& cancel,
    const std::function<absl::Status(const v1::WatchEvent&)>& emit) {
  return node::Watch(request, &cancel, emit);
}

absl::StatusOr<GroupPlace> RealJobWork::Find(const std::string& name,
                                             v1::Hierarchy hierarchy) {
  return FindPlace(name, hierarchy);
}

absl::StatusOr<GroupPlace> RealJobWork::PlaceFor(const std::string& name,
                                                 v1::Hierarchy hierarchy) {
  CKPT_ASSIGN_OR_RETURN(std::string directory,
                        freezer::PathForCgroup(name, hierarchy));
  return Place(std::move(directory));
}

absl::StatusOr<GroupPlace> RealJobWork::PlaceOf(const std::string& directory) {
  return Place(directory);
}

absl::StatusOr<v1::ManifestJob> RealJobWork::JobOf(const std::string& image) {
  CKPT_ASSIGN_OR_RETURN(const Image opened, store_.Open(image));
  return opened.manifest().job();
}

absl::StatusOr<ImageOrigin> RealJobWork::OriginOf(const std::string& image) {
  CKPT_ASSIGN_OR_RETURN(const Image opened, store_.Open(image));
  return ImageOrigin{.arrived = opened.arrived(),
                     .options = opened.manifest().options()};
}

absl::StatusOr<v1::CheckReport> RealJobWork::Check(
    const v1::CheckRequest& request, const Cancellation& cancel) {
  return preflight::Check(request,
                          {.store = &store_, .criu = criu_, .cancel = &cancel});
}

absl::StatusOr<v1::ImageListReport> RealJobWork::List() {
  return node::ListImages(store_);
}

absl::StatusOr<v1::ImageReport> RealJobWork::Get(const std::string& image) {
  return node::GetImage(store_, image);
}

absl::StatusOr<v1::VerifyReport> RealJobWork::Verify(
    const std::string& image, const Cancellation& cancel) {
  return node::VerifyImage(store_, image, &cancel);
}

absl::StatusOr<v1::RemoveReport> RealJobWork::Remove(const std::string& image) {
  return node::RemoveImage(store_, image);
}

absl::StatusOr<v1::PinReport> RealJobWork::Pin(const std::string& image,
                                               bool pinned) {
  return node::PinImage(store_, image, pinned);
}

absl::Status RealJobWork::Dump(const v1::DumpRequest& request,
                               const Operations::Running& running) {
  CKPT_ASSIGN_OR_RETURN(const std::string criu, criu::FindCriu(criu_));
  CKPT_ASSIGN_OR_RETURN(
      *running.result->mutable_dump_report(),
      checkpoint::Dump(request, {.store = &store_,
                                 .criu = criu,
                                 .cancel = running.cancel,
                                 .image_written = nullptr,
                                 .on_phase = running.on_phase}));
  return absl::OkStatus();
}

absl::Status RealJobWork::Restore(const v1::RestoreRequest& request,
                                  const Operations::Running& running) {
  CKPT_ASSIGN_OR_RETURN(const std::string criu, criu::FindCriu(criu_));
  CKPT_ASSIGN_OR_RETURN(
      *running.result->mutable_restore_report(),
      restore::Restore(request, {.store = &store_,
                                 .criu = criu,
                                 .cancel = running.cancel,
                                 .on_phase = running.on_phase}));
  return absl::OkStatus();
}

std::string ExplainLeftover(const v1::Operation& operation,
                            const ImageStore& store) {
  const size_t processes = CountProcesses(operation.cgroup());
  std::string group =
      processes == 0
          ? absl::StrCat("no process is in cgroup ", operation.cgroup())
          : absl::StrCat("cgroup ", operation.cgroup(), " has ", processes,
                         processes == 1 ? " process" : " processes");
  if (operation.has_restore_request()) return group;
  if (operation.has_migrate_request()) {
    return absl::StrCat(group, "; what was decided: ckpt ops show ",
                        operation.id());
  }
  const v1::DumpRequest& dump = operation.dump_request();
  if (!store.Open(dump.image()).ok()) {
    return absl::StrCat("there is no image ", dump.image(), ", and ", group);
  }
  const bool lives_on =
      processes > 0 && !dump.leave_running() && !dump.leave_frozen();
  return absl::StrCat(
      "image ", dump.image(), " is whole, and ", group,
      lives_on ? ": the job goes on, and the image is older than it" : "");
}

}  // namespace ckpt::agent
