// Two nodes with agents that know each other by certificates, and a job that
// checks itself: for tests of migrations.
//
//   MigrationLab lab(CgroupVersion::kV2);
//   ASSERT_EQ(lab.SetUp(), absl::OkStatus());
//   ASSERT_EQ(lab.StartAgent(1), absl::OkStatus()); ...
//   const CommandResult moved = lab.Migrate(1, "id");
//
// Each node has a group for the job, which only tasks of that node are in.
#ifndef CKPT_TESTS_NODE_MIGRATION_LAB_H_
#define CKPT_TESTS_NODE_MIGRATION_LAB_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/node/node.h"
#include "tests/node/node_network.h"
#include "tests/support/job.h"
#include "tests/support/test_ca.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"
#include "tests/testcases/workloads.h"

namespace ckpt {

class MigrationLab {
 public:
  // Of both nodes: they may receive from each other, and "controller" may do
  // all.
  static constexpr char kPolicy[] =
      "rule { client: 'node1' client: 'node2' verb: RECEIVE verb: PUSH "
      "cgroup: '/' }\n"
      "rule { local_user: '0' client: 'controller' verb: ALL cgroup: '/' }\n";

  explicit MigrationLab(CgroupVersion version) : version_(version) {}

  // With `nodes` nodes: those above 2 have no agent, and no group.
  absl::Status SetUp(int nodes = 2);

  // See NodeNetwork.
  absl::Status SlowDown(int node, absl::Duration delay,
                        int64_t bits_per_second) {
    return network_->SlowDown(node, delay, bits_per_second);
  }

  // The agent of a node; `faults` as $CKPT_FAULT.  Returns when it serves.
  absl::Status StartAgent(int node, const std::string& faults = "");
  // SIGKILL; returns when it is gone.
  absl::Status KillAgent(int node);
  // Waits for one that dies by itself.
  absl::Status AwaitAgentGone(int node);
  // Waits for one that a fault has stopped.
  absl::Status AwaitAgentStopped(int node);
  absl::Status ContinueAgent(int node);
  // Has a running agent take another policy: kPolicy, or one of a test's own.
  absl::Status ReloadPolicy(int node, const std::string& policy);

  // Starts the workload at node 1 and waits until it runs.  `private_files`:
  // what it maps is a file that node 2 does not have.
  absl::Status StartJob(const std::string& workload,
                        bool private_files = false);
  absl::Status StartJob(const WorkloadSpec& spec, bool private_files = false);

  // `ckpt migrate` from node to the other one.
  CommandResult Migrate(int from, const std::string& id,
                        const std::vector<std::string>& flags = {});
  CommandResult Ckpt(int node, const std::vector<std::string>& words);
  // The same without waiting; what it prints goes to File("migrate").
  absl::StatusOr<Job> StartMigration(
      int from, const std::string& id,
      const std::vector<std::string>& flags = {});
  // Waits until a node's journal has the migration in that state: "READY".
  absl::Status AwaitMigration(int node, const std::string& id,
                              const std::string& state);

  // Waits until the job runs at one node, and nothing of it is left at the
  // other, nor any image, whole or pending; which node it is, or 0.
  int AwaitOneCopy();
  // The job does its rounds without an error.
  absl::Status AwaitBeats();

  std::vector<pid_t> Tasks(int node) const {
    return groups_[node - 1]->Processes();
  }
  // Of the job's root, as the node numbers it.
  pid_t job_pid() const { return job_pid_; }
  std::string Log(int node) const;
  // What Prometheus would read of a node's agent.
  std::string Metrics(int node) const;

  // Names in a node's store; the journals are ".migrations".
  absl::StatusOr<std::vector<std::string>> Images(int node) const;
  const Node& node(int node) const { return network_->node(node); }
  const TestCgroup& group(int node) const { return *groups_[node - 1]; }
  std::string File(const std::string& name) const { return dir_.File(name); }
  // Where a node's agent listens.
  std::string Address(int node) const;
  // A group as the flags of ckpt name it.
  std::string GroupName(int node) const;
  // Certificates of a caller who may do everything: their directory.
  std::string MakeController() const { return ca_.Make("controller"); }

 private:
  std::vector<std::string> MigrationWords(int from, const std::string& id);
  absl::Status WritePolicy(const std::string& policy) const;
  // Nothing but the journals.
  bool IsSettled(int node) const;

  const CgroupVersion version_;
  TestDir dir_;
  TestCa ca_;
  std::string certificates_[2];
  std::string status_path_;  // of the job, from outside
  std::unique_ptr<NodeNetwork> network_;
  std::unique_ptr<TestCgroup> groups_[2];
  pid_t agents_[2] = {0, 0};  // in their nodes
  pid_t job_pid_ = 0;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_NODE_MIGRATION_LAB_H_
