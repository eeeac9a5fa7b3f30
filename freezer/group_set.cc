#include "freezer/group_set.h"

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"

namespace ckpt::freezer {
namespace {

// Calls `work` for each group that was taken, all at the same time.
void InParallel(GuardedGroups& groups,
                const std::function<void(size_t i)>& work) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups.taken(i).ok()) threads.emplace_back(work, i);
  }
  for (std::thread& thread : threads) thread.join();
}

template <typename Entry>
void SetError(const absl::Status& status, Entry& entry) {
  entry.set_code(static_cast<int>(status.code()));
  entry.set_error(std::string(status.message()));
}

template <typename Entry>
absl::Status ErrorOf(const Entry& entry) {
  return {static_cast<absl::StatusCode>(entry.code()), entry.error()};
}

void Fill(const absl::StatusOr<v1::FreezeReport>& result,
          v1::FreezeSetEntry& entry) {
  if (result.ok()) {
    *entry.mutable_report() = *result;
    return;
  }
  SetError(result.status(), entry);
  if (const auto payload = result.status().GetPayload(kReportUrl)) {
    (void)entry.mutable_report()->ParseFromString(std::string(*payload));
  }
}

// One failed: the others are given back, too.
void RollBack(GuardedGroups& groups, v1::FreezeSetReport& report) {
  const absl::Status back = groups.GiveBack();
  report.set_rolled_back(true);
  for (int i = 0; i < report.groups_size(); ++i) {
    v1::FreezeSetEntry& entry = *report.mutable_groups(i);
    if (entry.code() != 0) continue;
    entry.set_rolled_back(true);
    SetError(AppendError(absl::AbortedError(
                             "given back as it was, as not all of the groups "
                             "could be had"),
                         "giving back", back),
             entry);
    Freezer& freezer = groups.freezer(static_cast<size_t>(i));
    const auto now = freezer.GetStatus(/*with_tasks=*/false);
    if (now.ok()) *entry.mutable_report()->mutable_after() = *now;
  }
}

using Operation =
    std::function<absl::StatusOr<v1::FreezeReport>(Freezer& freezer)>;

v1::FreezeSetReport Run(GuardedGroups& groups, const SetOptions& options,
                        const Operation& operation) {
  Clock& clock = Clock::Real();
  const absl::Time start = clock.Now();
  std::vector<absl::StatusOr<v1::FreezeReport>> results;
  for (size_t i = 0; i < groups.size(); ++i) {
    const absl::Status& taken = groups.taken(i);
    results.emplace_back(taken.ok() ? absl::UnknownError("") : taken);
  }
  InParallel(groups,
             [&](size_t i) { results[i] = operation(groups.freezer(i)); });
  v1::FreezeSetReport report;
  for (size_t i = 0; i < groups.size(); ++i) {
    v1::FreezeSetEntry& entry = *report.add_groups();
    entry.set_cgroup(groups.freezer(i).group().path());
    Fill(results[i], entry);
    if (!results[i].ok()) groups.LeaveOut(i);
  }
  if (options.all_or_nothing && !FirstError(report).ok()) {
    RollBack(groups, report);
  }
  report.set_seconds(absl::ToDoubleSeconds(clock.Now() - start));
  return report;
}

}  // namespace

v1::FreezeSetReport FreezeAll(GuardedGroups& groups,
                              const SetOptions& options) {
  return Run(groups, options, [&options](Freezer& freezer) {
    return freezer.Freeze(options.each);
  });
}

v1::FreezeSetReport ThawAll(GuardedGroups& groups, const SetOptions& options) {
  return Run(groups, options, [&options](Freezer& freezer) {
    return freezer.Thaw(options.each);
  });
}

v1::KillSetReport KillAll(GuardedGroups& groups, int signal,
                          const KillOptions& options) {
  Clock& clock = Clock::Real();
  const absl::Time start = clock.Now();
  v1::KillSetReport report;
  for (size_t i = 0; i < groups.size(); ++i) {
    v1::KillSetEntry& entry = *report.add_groups();
    entry.set_cgroup(groups.freezer(i).group().path());
    SetError(groups.taken(i), entry);
  }
  InParallel(groups, [&](size_t i) {
    const auto result = KillGroup(groups.freezer(i), signal, options);
    v1::KillSetEntry& entry = *report.mutable_groups(static_cast<int>(i));
    if (result.ok()) *entry.mutable_report() = *result;
    SetError(result.status(), entry);
  });
  report.set_seconds(absl::ToDoubleSeconds(clock.Now() - start));
  return report;
}

absl::Status FirstError(const v1::FreezeSetReport& report) {
  for (const v1::FreezeSetEntry& entry : report.groups()) {
    if (entry.code() != 0 && !entry.rolled_back()) return ErrorOf(entry);
  }
  return absl::OkStatus();
}

absl::Status FirstError(const v1::KillSetReport& report) {
  for (const v1::KillSetEntry& entry : report.groups()) {
    if (entry.code() != 0) return ErrorOf(entry);
  }
  return absl::OkStatus();
}

}  // namespace ckpt::freezer
