#include "freezer/backend.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "freezer/kernel_names.h"

namespace ckpt::freezer {
namespace {

std::string UpFrom(int levels, absl::string_view file) {
  std::string name;
  for (int i = 0; i < levels; ++i) name += "../";
  return absl::StrCat(name, file);
}

class V1Backend : public Backend {
 public:
  explicit V1Backend(Cgroup& group) : group_(group) {}

  absl::StatusOr<FreezerFiles> Read() override {
    FreezerFiles files;
    CKPT_ASSIGN_OR_RETURN(files.self_request, ReadRequest(0));
    // freezer.state is the effective state, own or inherited; reading it makes
    // the kernel look whether all tasks are frozen by now.
    CKPT_ASSIGN_OR_RETURN(const std::string text, group_.Read(kV1StateFile));
    const absl::string_view state = absl::StripSuffix(text, "\n");
    if (state == kV1Frozen) {
      files.effective = v1::FREEZER_STATE_FROZEN;
    } else if (state == kV1Freezing) {
      files.effective = v1::FREEZER_STATE_FREEZING;
    } else if (state == kV1Thawed) {
      files.effective = v1::FREEZER_STATE_THAWED;
    } else {
      return absl::InternalError(absl::StrCat(
          "cgroup ", group_.path(), ": unknown freezer state '", state, "'"));
    }
    return files;
  }

  absl::StatusOr<bool> ReadRequest(int levels_up) override {
    CKPT_ASSIGN_OR_RETURN(const std::string text,
                          group_.Read(UpFrom(levels_up, kV1SelfFile)));
    return absl::StripSuffix(text, "\n") != "0";
  }

  absl::Status Request(bool freeze) override {
    return group_.Write(kV1StateFile, request_word(freeze));
  }

  // v1 has no notification: look again at once a few times, which is all that a
  // small group needs, and then after pauses that grow with the time that has
  // passed, by a tenth of it at most.
  //
  // A task that joins or forks at the wrong moment leaves the group FREEZING
  // for ever unless FROZEN is written again, and a task that misses even this
  // is caught by a short thaw (opencontainers/runc PR 2774 saw failures go from
  // 40 a minute to none with it).  Neither in the first 60 ms: a write goes
  // through all tasks, and takes 5,000 of them 25 ms again.
  absl::Status WaitForProgress(int attempt, bool freezing, absl::Duration limit,
                               Clock& /*clock*/, const Cancellation* cancel,
                               bool& rewritten) override {
    constexpr int kAtOnce = 16;
    constexpr int kGrowing = 96;
    constexpr absl::Duration kFirst = absl::Microseconds(50);
    constexpr absl::Duration kGrowth = absl::Nanoseconds(12500);
    constexpr absl::Duration kLast = absl::Milliseconds(10);
    constexpr int kKickEvery = 50;
    const int pauses = attempt - kAtOnce;
    const absl::Duration pause = pauses < 0          ? absl::ZeroDuration()
                                 : pauses < kGrowing ? kFirst + pauses * kGrowth
                                                     : kLast;
    CKPT_RETURN_IF_ERROR(group_.WaitForChange(std::min(pause, limit), cancel));
    if (!freezing || pauses < kGrowing) return absl::OkStatus();
    // Writing FROZEN again must not undo somebody's thaw, which cancels.
    CKPT_ASSIGN_OR_RETURN(const bool still_asked, ReadRequest(0));
    if (!still_asked) return absl::OkStatus();
    rewritten = true;
    if ((pauses - kGrowing) % kKickEvery == kKickEvery - 1) {
      CKPT_RETURN_IF_ERROR(Request(false));
      CKPT_RETURN_IF_ERROR(
          group_.WaitForChange(std::min(kLast, limit), cancel));
    }
    return Request(true);
  }

  std::string request_file() const override { return kV1StateFile; }
  absl::string_view request_word(bool freeze) const override {
    return freeze ? kV1Frozen : kV1Thawed;
  }

 private:
  Cgroup& group_;
};

class V2Backend : public Backend {
 public:
  explicit V2Backend(Cgroup& group) : group_(group) {}

  absl::StatusOr<FreezerFiles> Read() override {
    FreezerFiles files;
    CKPT_ASSIGN_OR_RETURN(files.self_request, ReadRequest(0));
    CKPT_ASSIGN_OR_RETURN(const std::string events, group_.Read(kV2EventsFile));
    // The achieved state is in cgroup.events; cgroup.freeze is the request.
    if (absl::StrContains(events, "frozen 1")) {
      files.effective = v1::FREEZER_STATE_FROZEN;
    } else if (files.self_request) {
      files.effective = v1::FREEZER_STATE_FREEZING;
    } else {
      files.effective = v1::FREEZER_STATE_THAWED;
    }
    return files;
  }

  absl::StatusOr<bool> ReadRequest(int levels_up) override {
    CKPT_ASSIGN_OR_RETURN(const std::string text,
                          group_.Read(UpFrom(levels_up, kV2FreezeFile)));
    return absl::StripSuffix(text, "\n") == kV2Freeze;
  }

  absl::Status Request(bool freeze) override {
    return group_.Write(kV2FreezeFile, request_word(freeze));
  }

  // The kernel tells of a change by an event on cgroup.events, but only once in
  // 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV in Linux's kernel/cgroup/cgroup.c): of a
  // freeze soon after a thaw it tells 14 ms late (measured).  So it is looked
  // at again after growing pauses; the long ones guard against a missed event.
  absl::Status WaitForProgress(int attempt, bool /*freezing*/,
                               absl::Duration limit, Clock& /*clock*/,
                               const Cancellation* cancel,
                               bool& /*rewritten*/) override {
    constexpr int kGrowing = 10;
    constexpr absl::Duration kFirst = absl::Microseconds(100);
    constexpr absl::Duration kLast = absl::Milliseconds(100);
    const absl::Duration pause =
        attempt < kGrowing ? std::min(kLast, kFirst * (1 << attempt)) : kLast;
    return group_.WaitForChange(std::min(limit, pause), cancel);
  }

  std::string request_file() const override { return kV2FreezeFile; }
  absl::string_view request_word(bool freeze) const override {
    return freeze ? kV2Freeze : kV2Thaw;
  }

 private:
  Cgroup& group_;
};

}  // namespace

std::unique_ptr<Backend> MakeBackend(Cgroup& group) {
  if (group.hierarchy() == v1::HIERARCHY_V1) {
    return std::make_unique<V1Backend>(group);
  }
  return std::make_unique<V2Backend>(group);
}

}  // namespace ckpt::freezer
