#include "migrate/states.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ckpt::migrate {

using namespace v1;  // NOLINT(google-build-using-namespace): the table's words

const std::vector<Transition>& Transitions() {
  static const auto& table = *new std::vector<Transition>{
      {MIGRATION_STATE_UNSPECIFIED, MIGRATION_STATE_PREPARING,
       "a migration is asked for"},
      {MIGRATION_STATE_PREPARING, MIGRATION_STATE_LEAVING,
       "the destination has reserved a place"},
      {MIGRATION_STATE_PREPARING, MIGRATION_STATE_ABORTED,
       "refused, cancelled, destination lost, or the agent was killed"},
      {MIGRATION_STATE_LEAVING, MIGRATION_STATE_READY,
       "the destination holds the restored job"},
      {MIGRATION_STATE_LEAVING, MIGRATION_STATE_ABORTED,
       "anything failed, or the agent was killed"},
      {MIGRATION_STATE_READY, MIGRATION_STATE_COMMITTED,
       "the decision file is on the disk"},
      {MIGRATION_STATE_READY, MIGRATION_STATE_ABORTED,
       "cancelled, or the agent was killed without a decision file"},
      {MIGRATION_STATE_LEAVING, MIGRATION_STATE_LOST,
       "the source's kernel ended without a decision file"},
      {MIGRATION_STATE_READY, MIGRATION_STATE_LOST,
       "the source's kernel ended without a decision file"},
      {MIGRATION_STATE_COMMITTED, MIGRATION_STATE_GONE,
       "no task of the job is left here"},
      {MIGRATION_STATE_GONE, MIGRATION_STATE_DONE,
       "the destination says that the job is its own"},
      {MIGRATION_STATE_GONE, MIGRATION_STATE_CLOSED,
       "an operator gives the destination up"},
      {MIGRATION_STATE_ABORTED, MIGRATION_STATE_CLOSED,
       "the destination knows, or an operator gives it up"},

      {MIGRATION_STATE_UNSPECIFIED, MIGRATION_STATE_RESERVED,
       "a source asks for a place"},
      {MIGRATION_STATE_UNSPECIFIED, MIGRATION_STATE_DROPPED,
       "a source has aborted what it had not asked for yet"},
      {MIGRATION_STATE_RESERVED, MIGRATION_STATE_RECEIVED,
       "the image is whole and on the disk"},
      {MIGRATION_STATE_RESERVED, MIGRATION_STATE_DROPPED,
       "the source has aborted, does not know of it, or has been silent for "
       "too long"},
      {MIGRATION_STATE_RECEIVED, MIGRATION_STATE_HELD,
       "the job is built from it, and nothing of it runs"},
      {MIGRATION_STATE_RECEIVED, MIGRATION_STATE_TAKEN,
       "the source has committed, or an operator decides so"},
      {MIGRATION_STATE_RECEIVED, MIGRATION_STATE_DROPPED,
       "the source has aborted, or an operator decides so"},
      {MIGRATION_STATE_HELD, MIGRATION_STATE_RECEIVED,
       "what was held is no more: the agent or CRIU was killed, or it took "
       "too long"},
      {MIGRATION_STATE_HELD, MIGRATION_STATE_TAKEN,
       "the source has committed, or an operator decides so"},
      {MIGRATION_STATE_HELD, MIGRATION_STATE_DROPPED,
       "the source has aborted, or an operator decides so"},
      {MIGRATION_STATE_TAKEN, MIGRATION_STATE_RELEASING,
       "the job is built, and is let go next"},
      {MIGRATION_STATE_RELEASING, MIGRATION_STATE_RUNNING,
       "every task was let go, or an operator says so"},
      {MIGRATION_STATE_RELEASING, MIGRATION_STATE_TAKEN,
       "no task was let go, or an operator says so: to be restored again"},
  };
  return table;
}

absl::Status CheckTransition(MigrationState from, MigrationState to) {
  for (const Transition& transition : Transitions()) {
    if (transition.from == from && transition.to == to) {
      return absl::OkStatus();
    }
  }
  return absl::InternalError(absl::StrCat("a migration does not get from ",
                                          StateName(from), " to ",
                                          StateName(to)));
}

std::string StateName(MigrationState state) {
  const std::string name = MigrationState_Name(state);
  return std::string(absl::StripPrefix(name, "MIGRATION_STATE_"));
}

bool IsOfSource(MigrationState state) {
  return state < MIGRATION_STATE_RESERVED;
}

bool IsTaken(MigrationState state) {
  return state == MIGRATION_STATE_TAKEN || state == MIGRATION_STATE_RELEASING ||
         state == MIGRATION_STATE_RUNNING;
}

bool IsFinal(MigrationState state) {
  // A source that is done, and a destination that runs, have no line on.
  return std::none_of(
      Transitions().begin(), Transitions().end(),
      [state](const Transition& line) { return line.from == state; });
}

absl::Duration DecisionLimit(const MigrateRequest& request) {
  constexpr absl::Duration kDefault = absl::Seconds(120);
  return request.timeout_seconds() > 0
             ? absl::Seconds(request.timeout_seconds())
             : kDefault;
}

}  // namespace ckpt::migrate
