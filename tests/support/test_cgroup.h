// A real cgroup that is thawed, emptied and removed however the test ends.
//
//   CKPT_ASSIGN_OR_RETURN(auto group, TestCgroup::Create(CgroupVersion::kV1));
//   CKPT_ASSIGN_OR_RETURN(auto child, group->CreateChild("inner"));
//   CKPT_RETURN_IF_ERROR(group->RequestFreeze());
//   CKPT_RETURN_IF_ERROR(group->AwaitState(CgroupState::kFrozen, deadline));
//
// Groups are ckpt-test-PID-N below the freezer hierarchy (v1) or the unified
// one (v2).  A frozen v1 task cannot be killed, and Bazel waits for every
// descendant of a test: a test that ended with one would hang the whole run. So
// the first group made starts a guard process (a child, in a session of its
// own), which cleans all groups of that name when the test dies of whatever
// cause, SIGKILL included; and the signals that end a test have the guard do so
// before the test goes.  The guard looks the groups up by name, so what the
// code under test creates below them is cleaned too.
//
// The destructor cleans its own subtree: thaws it (and, for a nested group,
// what it is nested in), kills every task in it and removes it.  Killed tasks
// that are children of the test are reaped.
#ifndef CKPT_TESTS_SUPPORT_TEST_CGROUP_H_
#define CKPT_TESTS_SUPPORT_TEST_CGROUP_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace ckpt {

enum class CgroupVersion { kV1, kV2 };
const char* CgroupVersionName(CgroupVersion version);  // "v1", "v2"

// What the kernel says of a group, its ancestors included.
enum class CgroupState { kThawed, kFreezing, kFrozen };
const char* CgroupStateName(CgroupState state);  // "THAWED" ...

// Where the hierarchy is mounted ("/sys/fs/cgroup/freezer"), by filesystem type
// and options.  NotFound when this machine has none of that version.
absl::StatusOr<std::string> CgroupMount(CgroupVersion version);

// Why the caller cannot have a TestCgroup of that version (no root, no
// hierarchy, a read-only one), for the message of a skipped test; "" when it
// can.
std::string WhyNoCgroup(CgroupVersion version);

// Not thread-safe.
class TestCgroup {
 public:
  // A new group below the hierarchy's root.  NotFound without a hierarchy,
  // PermissionDenied without root.
  static absl::StatusOr<std::unique_ptr<TestCgroup>> Create(
      CgroupVersion version);

  // A group `name` in this one; destroy it before its parent.
  absl::StatusOr<std::unique_ptr<TestCgroup>> CreateChild(
      const std::string& name);

  ~TestCgroup();

  TestCgroup(const TestCgroup&) = delete;
  TestCgroup& operator=(const TestCgroup&) = delete;

  CgroupVersion version() const { return version_; }
  const std::string& path() const { return path_; }  // of the directory
  std::string procs_path() const { return path_ + "/cgroup.procs"; }

  // Moves a process in.
  absl::Status Add(pid_t pid) const;

  // Writes the request and returns; see AwaitState.
  absl::Status RequestFreeze() const;
  absl::Status Thaw() const;

  absl::StatusOr<CgroupState> State() const;

  // Polls until the group is in `state`; DeadlineExceeded names the state that
  // it is in instead.
  absl::Status AwaitState(CgroupState state, absl::Time deadline,
                          Clock& clock = Clock::Real()) const;

  // Processes of the group and of all groups below it; no zombies.
  std::vector<pid_t> Processes() const;

  // Thaws the subtree and kills every task in it; returns when it is empty and
  // those that are children of the caller are reaped.
  absl::Status KillAll(absl::Time deadline, Clock& clock = Clock::Real()) const;

 private:
  TestCgroup(CgroupVersion version, std::string path)
      : version_(version), path_(std::move(path)) {}

  const CgroupVersion version_;
  const std::string path_;
};

// Name prefix of this process's groups: "ckpt-test-PID-".
std::string TestCgroupPrefix(pid_t pid);

// Groups of any version whose name begins with `prefix`, nested ones not.
std::vector<std::string> FindTestCgroups(const std::string& prefix);

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_TEST_CGROUP_H_
