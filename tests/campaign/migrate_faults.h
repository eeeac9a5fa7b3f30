// The faults that strike a migration between the two nodes of a MigrationLab,
// and the points where one can.
//
//   lab.StartAgent(1, FaultSpec(point, 1)); lab.StartAgent(2, ...);
//   MigrationFault fault(lab, kind);
//   lab.StartMigration(1, "m");
//   ... until IsStopped(lab, point.node) ...
//   fault.Strike();  Continue(lab);  ...  fault.Heal();
#ifndef CKPT_TESTS_CAMPAIGN_MIGRATE_FAULTS_H_
#define CKPT_TESTS_CAMPAIGN_MIGRATE_FAULTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/node/migration_lab.h"

namespace ckpt {

enum class FaultKind {
  kSourceAgent,       // SIGKILL to the source's ckptd
  kDestinationAgent,  // and to the destination's
  kSourceCriu,        // while it waits for the answer to its last question
  kDestinationCriu,
  kSourceNode,  // ckptd, its guardians, ckpt and CRIU of the node at once
  kDestinationNode,
  kLink,               // nothing arrives in either direction; the node knows
  kLinkToDestination,  // what is sent to it is lost, and nobody is told
  kLinkToSource,
  kDiskFull,  // at the destination
  kCorrupt,   // one byte of what has arrived at the destination
};
inline constexpr int kFaultKinds = 11;
const char* FaultKindName(FaultKind kind);

// A fault point of base/fault.h that a migration comes by at `node`.
struct MigrationPoint {
  const char* name;
  int node;
  bool source_criu;       // it stands at its last question
  bool destination_criu;  // it is there
  bool arriving;          // files have arrived, and are not verified yet
  bool aborting;          // only when the migration fails
};

// Where a fault of that kind can strike.
std::vector<MigrationPoint> PointsFor(FaultKind kind);

// $CKPT_FAULT for a node's agent, so that it stops at the point.
std::string FaultSpec(const MigrationPoint& point, int node);

// A process of that node's ckptd is stopped (SIGSTOP).
bool IsStopped(const MigrationLab& lab, int node);

// SIGCONT to all of them.
void Continue(const MigrationLab& lab);

// One fault; not more than once.
class MigrationFault {
 public:
  // Borrows the lab for its life.
  MigrationFault(MigrationLab& lab, FaultKind kind) : lab_(lab), kind_(kind) {}

  // To be called before the agents start.
  absl::Status Prepare();

  // OK: something was really killed, cut, filled or changed.  NotFound: there
  // is nothing yet that it could hit.
  absl::Status Strike();

  // Links and disks are as they were, agents that were killed serve again.
  absl::Status Heal();

 private:
  absl::Status Kill(int node, const std::vector<std::string>& names);
  absl::Status LoseWhatIsSent(int from);
  absl::Status FlipByte();

  MigrationLab& lab_;
  const FaultKind kind_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_CAMPAIGN_MIGRATE_FAULTS_H_
