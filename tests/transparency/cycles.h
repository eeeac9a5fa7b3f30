// What the tests of transparency have in common: a group of each version, and
// freezes and thaws of it by the real ckpt.
//
//   TEST_P(MyTest, SeesNothing) {
//     StartWorkload("fork_storm", {"--workers", "4"});
//     for (int i = 0; i < 20; ++i) Cycle();
//     ExpectUndisturbed();
//   }
#ifndef CKPT_TESTS_TRANSPARENCY_CYCLES_H_
#define CKPT_TESTS_TRANSPARENCY_CYCLES_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {

// Not thread-safe.
class CyclesTest : public testing::Test {
 protected:
  // Makes the group; also the reaper of what the test starts.
  void MakeGroup(CgroupVersion version);
  TestCgroup& group() { return *group_; }

  // `ckpt freeze --cgroup`: its report, which says FROZEN, and so does the
  // kernel.
  v1::FreezeReport Freeze();
  void Thaw();
  // One after the other.
  void Cycle();

  // tests/testcases/NAME in the group, past its first beats.  The record of
  // what it finds is in status_path().
  void StartWorkload(const std::string& name,
                     const std::vector<std::string>& args = {});
  pid_t workload_pid() const { return workload_; }
  std::string status_path() const { return ckpt_.dir().File("status"); }
  // It goes on, and has found no fault.
  void ExpectUndisturbed();

  // `ckpt VERB --cgroup`, which must succeed.
  v1::FreezeReport RunVerb(const std::string& verb);

 private:
  CkptRunner ckpt_;
  std::unique_ptr<TestCgroup> group_;
  pid_t workload_ = 0;
};

// On v1 and on v2.
class BothFreezersTest : public CyclesTest,
                         public testing::WithParamInterface<CgroupVersion> {
 protected:
  void SetUp() override { MakeGroup(GetParam()); }
};

std::string VersionCaseName(const testing::TestParamInfo<CgroupVersion>& info);

}  // namespace ckpt

#endif  // CKPT_TESTS_TRANSPARENCY_CYCLES_H_
