#include "tests/campaign/storm.h"

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "tests/support/job.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {
namespace {

// For what takes some milliseconds on a machine that has nothing else to do.
constexpr absl::Duration kPatience = absl::Minutes(1);

absl::Time Deadline() { return Clock::Real().Now() + kPatience; }

// Changes whenever the thread runs.
absl::StatusOr<std::string> CountersOf(pid_t tid) {
  ProcFs& proc = ProcFs::Real();
  CKPT_ASSIGN_OR_RETURN(const std::string times, proc.Read(tid, "schedstat"));
  CKPT_ASSIGN_OR_RETURN(const std::string own,
                        proc.StatusField(tid, "voluntary_ctxt_switches"));
  CKPT_ASSIGN_OR_RETURN(const std::string forced,
                        proc.StatusField(tid, "nonvoluntary_ctxt_switches"));
  return absl::StrCat(own, " + ", forced, " switches, ", times);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Storm>> Storm::Start(CgroupVersion version,
                                                    int workers) {
  BecomeReaper();
  auto storm = absl::WrapUnique(new Storm);
  CKPT_ASSIGN_OR_RETURN(storm->group_, TestCgroup::Create(version));
  const std::string status_path = storm->dir_.File("status");
  Job::Options options;
  options.argv = {RunfilesPath("tests/testcases/fork_storm"), "--status",
                  status_path, "--workers", absl::StrCat(workers)};
  options.cgroups = {storm->group_.get()};
  CKPT_ASSIGN_OR_RETURN(const Job job, Job::Start(options));
  storm->root_ = job.pid();
  CKPT_RETURN_IF_ERROR(WaitForBeats(status_path, 3, Deadline()));
  CKPT_ASSIGN_OR_RETURN(storm->workers_, ProcFs::Real().Children(job.pid()));
  return storm;
}

absl::StatusOr<Storm::Picture> Storm::Take() const {
  const char* const name =
      group_->version() == CgroupVersion::kV1 ? "tasks" : "cgroup.threads";
  CKPT_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(absl::StrCat(group_->path(), "/", name)));
  Picture picture;
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t tid;
    if (!absl::SimpleAtoi(line, &tid)) {
      return absl::InternalError(absl::StrCat("no thread: ", line));
    }
    auto counters = CountersOf(tid);
    if (counters.ok()) picture[tid] = *std::move(counters);
  }
  return picture;
}

absl::Status Storm::CheckMembers() const {
  const auto now = ProcFs::Real().Children(root_);
  if (!now.ok() || *now != workers_) {
    return absl::DataLossError(
        absl::StrCat("a member of the storm is lost; process ", root_, " has ",
                     now.ok() ? now->size() : 0, " children"));
  }
  return absl::OkStatus();
}

absl::Status Storm::CheckGoesOn() const {
  return WaitForBeats(dir_.File("status"), 1, Deadline());
}

}  // namespace ckpt
