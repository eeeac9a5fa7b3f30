#include "node/check.h"

#include <linux/capability.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/host.h"
#include "base/proc.h"
#include "base/status.h"
#include "criu/binary.h"
#include "criu/session.h"
#include "criu/work_dir.h"
#include "freezer/cgroup.h"

namespace ckpt::node {
namespace {

using Level = v1::CheckFinding::Level;
constexpr Level kOk = v1::CheckFinding::LEVEL_OK;
constexpr Level kWarning = v1::CheckFinding::LEVEL_WARNING;
constexpr Level kMissing = v1::CheckFinding::LEVEL_MISSING;

void Add(v1::CheckReport& report, absl::string_view subject, Level level,
         absl::string_view found, absl::string_view advice = "") {
  v1::CheckFinding& finding = *report.add_findings();
  finding.set_subject(std::string(subject));
  finding.set_level(level);
  finding.set_found(std::string(found));
  finding.set_advice(std::string(advice));
}

void CheckPrivilege(v1::CheckReport& report) {
  if (::geteuid() == 0) {
    Add(report, "user", kOk, "root");
  } else {
    Add(report, "user", kMissing, absl::StrCat("user ", ::geteuid()),
        "run ckpt as root (sudo)");
  }
  // PR_CAPBSET_READ alone would not tell whether we have it now.
  const auto effective = ProcFs::Real().StatusField(::getpid(), "CapEff");
  uint64_t bits = 0;
  if (effective.ok() && absl::SimpleHexAtoi(*effective, &bits) &&
      (bits & (uint64_t{1} << CAP_SYS_RESOURCE)) == 0) {
    Add(report, "CAP_SYS_RESOURCE", kWarning, "not there",
        "without it only jobs of ckpt's own user can be dumped");
  }
}

void CheckFreezers(v1::CheckReport& report) {
  const HostInfo host = ReadHostInfo();
  Add(report, "kernel", kOk,
      absl::StrCat("Linux ", host.kernel_release, ", ", host.machine));
  const auto mounts = freezer::FindHierarchyMounts();
  const bool v2 = mounts.ok() && !mounts->v2.empty();
  const bool v1 = mounts.ok() && !mounts->v1_freezer.empty();
  const Level absent = v1 || v2 ? kOk : kMissing;
  Add(report, "freezer, cgroup v2", v2 ? kOk : absent,
      v2 ? mounts->v2 : "not mounted",
      v2 || v1 ? "" : "mount -t cgroup2 none /sys/fs/cgroup");
  Add(report, "freezer, cgroup v1", v1 ? kOk : absent,
      v1 ? mounts->v1_freezer : "not mounted (v2 is enough)");
}

void CheckCriu(const std::string& criu, v1::CheckReport& report) {
  const auto path = criu::FindCriu(criu);
  if (!path.ok()) {
    Add(report, "CRIU", kMissing, path.status().message(),
        "run tools/setup, or name one with --criu");
    return;
  }
  const auto session = criu::Session::Start({.binary = *path});
  if (!session.ok()) {
    Add(report, "CRIU", kMissing, session.status().message(),
        "run tools/setup, or name another with --criu");
    return;
  }
  Add(report, "CRIU", kOk,
      absl::StrCat((*session)->version().ToString(), " (", *path, ")"));
  const auto work = criu::WorkDir::Create("check", "kernel");
  absl::Status status = work.status();
  if (status.ok()) {
    status = (*session)->CheckKernel(
        (*work)->fd(), criu::kLogName,
        {.deadline = Clock::Real().Now() + absl::Seconds(30)});
  }
  if (status.ok()) {
    Add(report, "CRIU on this kernel", kOk, "criu check found nothing amiss");
  } else {
    Add(report, "CRIU on this kernel", kMissing, status.message(),
        "the kernel needs CONFIG_CHECKPOINT_RESTORE and what CRIU names");
  }
}

void CheckStore(const ImageStore& store, v1::CheckReport& report) {
  const std::string& directory = store.directory();
  // The store is made at the first dump: its parent must be there.
  const bool exists = ::access(directory.c_str(), F_OK) == 0;
  if (exists && ::access(directory.c_str(), W_OK) != 0) {
    Add(report, "store", kMissing, absl::StrCat(directory, " is not writable"),
        "choose another with --store, or --image PATH");
    return;
  }
  Add(report, "store", kOk,
      absl::StrCat(directory, exists ? "" : " (made at the first dump)"));
}

}  // namespace

v1::CheckReport CheckNode(const std::string& criu, const ImageStore& store) {
  v1::CheckReport report;
  CheckPrivilege(report);
  CheckFreezers(report);
  CheckCriu(criu, report);
  CheckStore(store, report);
  report.set_usable(true);
  for (const v1::CheckFinding& finding : report.findings()) {
    if (finding.level() == kMissing) report.set_usable(false);
  }
  return report;
}

}  // namespace ckpt::node
