// The fixture of the contract suite's tests.
#ifndef CKPT_FREEZER_CONTRACT_FIXTURE_H_
#define CKPT_FREEZER_CONTRACT_FIXTURE_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "freezer/contract_world.h"
#include "freezer/freezer.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::freezer {

inline void PrintTo(const WorldFactory& factory, std::ostream* out) {
  *out << factory.name;
}

inline std::string WorldName(const testing::TestParamInfo<WorldFactory>& info) {
  return info.param.name;
}

class ContractTest : public testing::TestWithParam<WorldFactory> {
 protected:
  // Long enough for every freeze that can succeed, on a slow machine too.
  static constexpr absl::Duration kPlenty = absl::Minutes(1);
  // Long enough for a look at a freeze that cannot.
  static constexpr absl::Duration kBrief = absl::Milliseconds(100);

  void SetUp() override {
    if (!GetParam().skipped.empty()) GTEST_SKIP() << GetParam().skipped;
    world_ = GetParam().make();
  }

  World& world() { return *world_; }

  Freezer FreezerOf(Cgroup& group) {
    return Freezer(group, world().proc(), world().clock());
  }

  FreezeOptions Within(absl::Duration limit) {
    return {.deadline = world().clock().Now() + limit};
  }

  // How many threads the processes have; at least one each.  A sanitizer adds
  // some of its own to real ones.
  int ThreadsOf(const std::vector<pid_t>& pids) {
    size_t count = 0;
    for (const pid_t pid : pids) count += world().proc().Threads(pid)->size();
    return static_cast<int>(count);
  }

  // Freezes `group` as another user of it would have.
  void FreezeBefore(Cgroup& group) {
    const auto report = FreezerOf(group).Freeze(Within(kPlenty));
    ASSERT_TRUE(report.ok()) << report.status();
  }

  v1::CgroupStatus StatusOf(Cgroup& group) {
    auto status = FreezerOf(group).GetStatus(/*with_tasks=*/false);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? *std::move(status) : v1::CgroupStatus();
  }

  void ExpectState(Cgroup& group, v1::FreezerState state, bool self_freezing) {
    const v1::CgroupStatus status = StatusOf(group);
    EXPECT_EQ(v1::FreezerState_Name(status.state()),
              v1::FreezerState_Name(state));
    EXPECT_EQ(status.self_freezing(), self_freezing);
  }
  void ExpectThawed(Cgroup& group) {
    ExpectState(group, v1::FREEZER_STATE_THAWED, false);
  }
  void ExpectFrozen(Cgroup& group) {
    ExpectState(group, v1::FREEZER_STATE_FROZEN, true);
  }

 private:
  std::unique_ptr<World> world_;
};

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_CONTRACT_FIXTURE_H_
