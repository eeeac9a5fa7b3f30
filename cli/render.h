// Reports as text for people.  No function here decides anything.
#ifndef CKPT_CLI_RENDER_H_
#define CKPT_CLI_RENDER_H_

#include <string>

#include "absl/status/status.h"
#include "proto/agent.pb.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"
#include "proto/run.pb.h"

namespace ckpt::cli {

std::string RenderStatus(const v1::CgroupStatus& status);
std::string RenderFreeze(const v1::FreezeReport& report);
// Several groups together.
std::string RenderStatusSet(const v1::StatusSetReport& report);
std::string RenderFreezeSet(const v1::FreezeSetReport& report);
std::string RenderKillSet(const v1::KillSetReport& report);
std::string RenderVerifyFreeze(const v1::VerifyFreezeReport& report);
std::string RenderRecover(const v1::RecoverReport& report, bool dry_run);
// A line.
std::string RenderRecovered(const v1::RecoveredGroup& group, bool dry_run);
// One line.
std::string RenderWatchEvent(const v1::WatchEvent& event);
std::string RenderKill(const v1::KillReport& report);
std::string RenderDump(const v1::DumpReport& report);
std::string RenderRestore(const v1::RestoreReport& report);
// The files that were cut back, a line each.
std::string RenderCuts(const v1::RestoreReport& report);
std::string RenderImage(const v1::ImageReport& report);
std::string RenderList(const v1::ImageListReport& report);
std::string RenderJobs(const v1::JobListReport& report);
std::string RenderCheck(const v1::CheckReport& report);
// The findings alone.
std::string RenderFindings(const v1::CheckReport& report);
std::string RenderOperations(const v1::OperationList& list);
// One line.
std::string RenderOperation(const v1::Operation& operation);
// Of one that runs, without its name: the phase, and how far it is.
std::string RenderPhase(const v1::Operation& operation);
// How far, how fast, how long; "": nothing is known.  `about`: the total is an
// estimate.
std::string RenderProgress(const v1::OperationProgress& progress,
                           bool about = false);
// "LEAVING".
std::string MigrationStateWord(v1::MigrationState state);
std::string RenderMigration(const v1::MigrateReport& report);
std::string RenderMigrationRecord(const v1::MigrationRecord& record);

// The blockers, strays and outsiders of a FreezeReport that an error carries as
// payload; "" if it carries none.
std::string RenderEvidence(const v1::FreezeReport& report);

// "FROZEN".
std::string StateWord(v1::FreezerState state);
// "16.2 MiB".
std::string Size(uint64_t bytes);
// "42.1 ms" or "3.20 s".
std::string Time(double seconds);

}  // namespace ckpt::cli

#endif  // CKPT_CLI_RENDER_H_
