// A fork storm in a cgroup, and what can be held against a freeze of it: its
// members, the threads that the kernel lists, and whether they stand still.
//
//   CKPT_ASSIGN_OR_RETURN(auto storm, Storm::Start(CgroupVersion::kV2, 4));
//   ... freeze storm->group() ...
//   CKPT_ASSIGN_OR_RETURN(const Storm::Picture before, storm->Take());
//   CKPT_ASSIGN_OR_RETURN(const Storm::Picture after, storm->Take());
//   EXPECT_EQ(before, after);   // it is frozen
#ifndef CKPT_TESTS_CAMPAIGN_STORM_H_
#define CKPT_TESTS_CAMPAIGN_STORM_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/test_cgroup.h"
#include "tests/support/test_dir.h"

namespace ckpt {

// Not thread-safe.  The group, and all that is in it, goes with the object.
class Storm {
 public:
  // tests/testcases/fork_storm with so many workers, past its first beats.
  static absl::StatusOr<std::unique_ptr<Storm>> Start(CgroupVersion version,
                                                      int workers);

  const TestCgroup& group() const { return *group_; }
  // The root and its workers, who stay for good.
  size_t members() const { return workers_.size() + 1; }

  // Every thread that the kernel lists in the group, and how often it has been
  // switched to and from, with its CPU time.  A thread that ends meanwhile is
  // left out.
  using Picture = std::map<pid_t, std::string>;
  absl::StatusOr<Picture> Take() const;

  // DataLoss when a member is missing.
  absl::Status CheckMembers() const;
  // Waits until each member has come on; DataLoss when one is lost, or was
  // disturbed.
  absl::Status CheckGoesOn() const;

 private:
  Storm() = default;

  TestDir dir_;
  std::unique_ptr<TestCgroup> group_;
  pid_t root_ = 0;
  std::vector<pid_t> workers_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_CAMPAIGN_STORM_H_
