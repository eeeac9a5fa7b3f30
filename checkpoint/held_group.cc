#include "checkpoint/held_group.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/slow_close.h"
#include "base/status.h"
#include "freezer/verify.h"

namespace ckpt::checkpoint {
namespace {

using freezer::Census;
using freezer::GroupTasks;
using freezer::GroupWrite;
using freezer::TaskId;

// The first task that only one of the two has, or 0.
pid_t FirstDifference(const std::vector<TaskId>& one,
                      const std::vector<TaskId>& other) {
  std::vector<TaskId> difference;
  std::set_symmetric_difference(one.begin(), one.end(), other.begin(),
                                other.end(), std::back_inserter(difference));
  return difference.empty() ? 0 : difference.front().tid;
}

bool Has(const std::vector<TaskId>& tasks, pid_t tid) {
  return std::any_of(tasks.begin(), tasks.end(),
                     [&](const TaskId& task) { return task.tid == tid; });
}

// "task 12 (sh) has left cgroup /x"; "" when nothing differs.
std::string DescribeChange(ProcFs& proc, const std::string& group,
                           const Census& before, const Census& now) {
  if (const pid_t tid = FirstDifference(before.tree, now.tree); tid != 0) {
    return absl::StrCat("task ", DescribeTask(proc, tid),
                        Has(now.tree, tid) ? " has joined" : " has left",
                        " the process tree");
  }
  const std::vector<TaskId> were = before.Members(/*subtree=*/true);
  const std::vector<TaskId> are = now.Members(/*subtree=*/true);
  if (const pid_t tid = FirstDifference(were, are); tid != 0) {
    return absl::StrCat("task ", DescribeTask(proc, tid),
                        Has(are, tid) ? " was moved into" : " was moved out of",
                        " cgroup ", group);
  }
  if (before == now) return "";
  return absl::StrCat("a task was moved between the groups below cgroup ",
                      group);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HeldGroup>> HeldGroup::Take(
    freezer::Cgroup& group, const freezer::TreeOptions& tree, ProcFs& proc,
    Clock& clock, const std::string& ended_if_exists) {
  CKPT_ASSIGN_OR_RETURN(
      auto hold,
      freezer::GroupHold::Take(group, {.purpose = v1::HOLD_PURPOSE_CHECKPOINT,
                                       .ended_if_exists = ended_if_exists}));
  return absl::WrapUnique(
      new HeldGroup(group, tree, proc, clock, std::move(hold)));
}

HeldGroup::~HeldGroup() {
  if (watch_ != nullptr) ended_watch_ = std::move(watch_);
  if (ended_watch_ == nullptr) return;
  // Nobody need wait for the kernel to end it.
  CloseElsewhere(std::move(*ended_watch_).TakeDescriptor());
}

absl::Status HeldGroup::StartWatch() {
  CKPT_ASSIGN_OR_RETURN(watch_, freezer::WriteWatch::Start());
  return WatchGroup(freezer_.group());
}

absl::Status HeldGroup::WatchGroup(freezer::Cgroup& group) {
  CKPT_RETURN_IF_ERROR(watch_->AddRequest(group));
  CKPT_RETURN_IF_ERROR(watch_->AddMembership(group));
  CKPT_ASSIGN_OR_RETURN(const auto children, group.Children());
  for (const auto& child : children) {
    absl::Status watched = WatchGroup(*child);
    if (!watched.ok() && !absl::IsNotFound(watched)) return watched;
  }
  return absl::OkStatus();
}

// Below the group that is held, a thaw changes nothing, and is let pass; a
// freeze would stop CRIU with the job, and is taken back.
bool HeldGroup::IsHarmless(const GroupWrite& write) {
  if (write.group == freezer_.group().path()) return false;
  const auto group = freezer::OpenCgroup(write.group);
  if (!group.ok()) return absl::IsNotFound(group.status());
  freezer::Freezer below(**group, proc_, freezer_.clock());
  if (!below.IsRequestFile(write.file)) return false;
  const auto status = below.GetStatus(/*with_tasks=*/false);
  if (status.ok() && !status->self_freezing()) return true;
  (void)below.WriteRequest(false);
  return false;
}

absl::Status HeldGroup::Freeze(const freezer::FreezeOptions& options) {
  if (absl::Status watched = StartWatch(); !watched.ok()) {
    if (absl::IsNotFound(watched)) return watched;
    watch_.reset();
    why_unwatched_ = std::string(watched.message());
  }
  CKPT_ASSIGN_OR_RETURN(scope_, freezer::FrozenScope::Enter(freezer_, options));
  return absl::OkStatus();
}

absl::Status HeldGroup::CheckWrites() {
  if (watch_ == nullptr) return absl::OkStatus();
  CKPT_ASSIGN_OR_RETURN(const std::vector<GroupWrite> writes, watch_->Take());
  const GroupWrite* foreign = nullptr;
  for (const GroupWrite& write : writes) {
    if (write.pid == ::getpid()) continue;
    if (criu_ != 0 && (write.pid == criu_ || write.pgid == criu_)) {
      criu_wrote_ = true;
    } else if (!IsHarmless(write) && foreign == nullptr) {
      foreign = &write;
    }
  }
  if (foreign == nullptr) return absl::OkStatus();
  if (criu_wrote_) (void)freezer_.WriteRequest(false);
  return absl::AbortedError(absl::StrCat(
      freezer::DescribeWriter(*foreign), " wrote to ", foreign->group, "/",
      foreign->file,
      " while the checkpoint held the group; retry when it leaves the group "
      "alone"));
}

absl::Status HeldGroup::Verify() {
  auto census = freezer::VerifySingleFrozenGroup(freezer_, proc_, tree_,
                                                 scope_->mutable_report());
  // Who did it tells more than what it led to.
  CKPT_RETURN_IF_ERROR(CheckWrites());
  CKPT_RETURN_IF_ERROR(census.status());
  census_ = *std::move(census);
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                        freezer_.GetStatus(/*with_tasks=*/false));
  if (status.frozen_ancestor().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "cgroup ", status.frozen_ancestor(), ", an ancestor of ", status.cgroup(),
      ", was frozen meanwhile, with which CRIU would hang; thaw that group and "
      "retry"));
}

absl::Status HeldGroup::VerifyWithJoined(
    const freezer::FreezeOptions& options) {
  CKPT_RETURN_IF_ERROR(freezer_.Freeze(options).status());
  tree_.except = 0;
  return Verify();
}

absl::Status HeldGroup::CheckTracers() {
  for (const TaskId& task : census_.tree) {
    const auto tracer = proc_.StatusField(task.tid, "TracerPid");
    pid_t pid = 0;
    if (tracer.ok() && absl::SimpleAtoi(*tracer, &pid) && pid == criu_) {
      continue;
    }
    return absl::AbortedError(
        absl::StrCat("task ", DescribeTask(proc_, task.tid),
                     " of the job is not held by CRIU (process ", criu_,
                     ") at the end of its dump"));
  }
  return absl::OkStatus();
}

absl::Status HeldGroup::CheckImage(const ImageContents& image) {
  std::set<pid_t> in_image;
  for (const ImageProcess& process : image.processes) {
    if (process.state != ImageTaskState::kZombie) in_image.insert(process.pid);
  }
  std::set<pid_t> in_tree;
  for (const pid_t pid : census_.TreeProcesses()) in_tree.insert(pid);
  if (in_image == in_tree) return absl::OkStatus();
  std::set<pid_t> by_inner_number;
  for (const pid_t pid : in_tree) {
    by_inner_number.insert(InnermostPid(proc_, pid));
  }
  if (in_image == by_inner_number) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(
      "CRIU dumped ", in_image.size(), " process(es), and not just the ",
      in_tree.size(), " of the verified tree"));
}

absl::Status HeldGroup::VerifySeized(const ImageContents& image) {
  CKPT_RETURN_IF_ERROR(CheckWrites());
  CKPT_ASSIGN_OR_RETURN(const Census now,
                        freezer::TakeCensus(freezer_.group(), proc_, tree_));
  if (now != census_) {
    return absl::AbortedError(absl::StrCat(
        DescribeChange(proc_, freezer_.group().path(), census_, now),
        " while the checkpoint held the group; retry"));
  }
  CKPT_RETURN_IF_ERROR(CheckTracers());
  CKPT_RETURN_IF_ERROR(CheckImage(image));
  ended_watch_ = std::move(watch_);
  return absl::OkStatus();
}

absl::Status HeldGroup::FreezeSeized(const freezer::FreezeOptions& options) {
  CKPT_RETURN_IF_ERROR(freezer_.Freeze(options).status());
  CKPT_ASSIGN_OR_RETURN(const Census now,
                        freezer::TakeCensus(freezer_.group(), proc_, tree_));
  if (now != census_) {
    return absl::AbortedError(absl::StrCat(
        DescribeChange(proc_, freezer_.group().path(), census_, now),
        " while the checkpoint held the group; retry"));
  }
  return CheckTracers();
}

absl::Status HeldGroup::CheckFrozen() {
  CKPT_ASSIGN_OR_RETURN(const v1::CgroupStatus status,
                        freezer_.GetStatus(/*with_tasks=*/false));
  if (status.state() == v1::FREEZER_STATE_FROZEN || status.self_freezing()) {
    return absl::OkStatus();
  }
  return absl::AbortedError(
      absl::StrCat("cgroup ", status.cgroup(),
                   " was thawed by somebody else while its job was held"));
}

absl::Status HeldGroup::ExplainFailure(absl::Status why) {
  if (absl::IsAborted(why) || census_.tree.empty()) return why;
  absl::Status meddled = CheckWrites();
  auto now = freezer::TakeCensus(freezer_.group(), proc_, tree_);
  if (meddled.ok() && now.ok()) {
    // CRIU has let go of the tasks: what they have done since proves nothing,
    // but none of them leaves a frozen group by itself.
    const std::vector<TaskId> members = now->Members(tree_.subtree);
    for (const TaskId& task : census_.tree) {
      if (Has(members, task.tid) || !Has(now->tree, task.tid)) continue;
      meddled = absl::AbortedError(
          absl::StrCat("task ", DescribeTask(proc_, task.tid),
                       " was moved out of cgroup ", freezer_.group().path(),
                       " while the checkpoint held the group; retry"));
      break;
    }
  }
  if (meddled.ok()) return why;
  return AppendError(std::move(meddled), "CRIU", why);
}

}  // namespace ckpt::checkpoint
