#include "checkpoint/dump_guardian.h"

#include "absl/time/time.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "freezer/freezer.h"

namespace ckpt::checkpoint {
namespace {

// What CRIU is granted to give the tasks back by itself.
constexpr absl::Duration kPatience = absl::Milliseconds(1500);

void AddGiveBack(const GuardedDump& dump, int request_file,
                 PreparedSteps& steps) {
  // CRIU resumes the tasks when it fails, so it is made to fail, not killed.
  steps.AddLimitFileSize(dump.criu.pid());
  if (dump.held == nullptr) {
    steps.AddWaitExit(dump.criu.pidfd(), kPatience);
    steps.AddKill(dump.criu.pidfd());
    return;
  }
  freezer::Freezer& freezer = dump.held->freezer();
  const bool was_frozen = dump.held->hold().give_back_frozen();
  // A thaw first: CRIU may be about to look at the group.  Never a freeze
  // while CRIU works on the tasks, which would stop both for ever.
  if (!was_frozen) {
    steps.AddWrite(request_file, freezer.RequestWord(false));
  }
  steps.AddWaitExit(dump.criu.pidfd(), kPatience);
  steps.AddKill(dump.criu.pidfd());
  steps.AddKillProcessGroup(dump.criu.pid());  // its helpers
  steps.AddWaitExit(dump.criu.pidfd(), kPatience);
  // CRIU leaves the group as it found it, which is frozen.
  steps.AddWrite(request_file, freezer.RequestWord(was_frozen));
}

// Not one instruction of the job runs here any more: the tasks are killed while
// they are frozen.  Until CRIU is killed, it must not see that we have died: it
// would give the tasks and the network back.
void AddEnd(const GuardedDump& dump, int request_file, PreparedSteps& steps) {
  dump.leaving->AddKill(steps);
  steps.AddKill(dump.criu.pidfd());
  steps.AddKillProcessGroup(dump.criu.pid());
  steps.AddWrite(request_file, dump.held->freezer().RequestWord(false));
  dump.leaving->AddWait(steps, kPatience);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LastWill>> ArmDumpGuardian(
    const GuardedDump& dump) {
  auto guardian = std::make_unique<LastWill>();
  UniqueFd request_file;
  if (dump.held != nullptr) {
    CKPT_ASSIGN_OR_RETURN(request_file, dump.held->freezer().OpenRequestFile());
  }
  if (dump.leaving != nullptr) {
    const PreparedSteps::Branch decided = guardian->AddIfExists(
        dump.over->decision_dir_fd, dump.over->decision_name);
    AddEnd(dump, request_file.get(), decided.then);
    // CRIU, if it lives, does so again.
    dump.leaving->AddGoOn(decided.otherwise);
    decided.otherwise.AddClose(dump.criu.connection_fd());
    AddGiveBack(dump, request_file.get(), decided.otherwise);
  } else {
    AddGiveBack(dump, request_file.get(), *guardian);
  }
  if (dump.asker != nullptr) dump.asker->Protect(*guardian);
  if (dump.held != nullptr) dump.held->hold().Protect(*guardian);
  CKPT_RETURN_IF_ERROR(guardian->Arm());
  return guardian;
}

}  // namespace ckpt::checkpoint
