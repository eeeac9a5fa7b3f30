#include "tests/transparency/cycles.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "tests/support/job.h"
#include "tests/testcases/workload.h"
#include "tests/testcases/workloads.h"

namespace ckpt {

void CyclesTest::MakeGroup(CgroupVersion version) {
  BecomeReaper();
  auto group = TestCgroup::Create(version);
  ASSERT_TRUE(group.ok()) << group.status();
  group_ = *std::move(group);
}

v1::FreezeReport CyclesTest::RunVerb(const std::string& verb) {
  v1::FreezeReport report;
  const CommandResult result =
      ckpt_.Run({verb, "--cgroup", group_->path(), "--json"});
  EXPECT_EQ(result.exit_status, 0) << verb << ": " << result.err;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(result.out, &report);
  EXPECT_TRUE(parsed.ok()) << parsed << "\n" << result.out;
  return report;
}

v1::FreezeReport CyclesTest::Freeze() {
  v1::FreezeReport report = RunVerb("freeze");
  EXPECT_EQ(report.after().state(), v1::FREEZER_STATE_FROZEN);
  const auto state = group_->State();
  EXPECT_TRUE(state.ok() && *state == CgroupState::kFrozen);
  return report;
}

void CyclesTest::Thaw() {
  EXPECT_EQ(RunVerb("thaw").after().state(), v1::FREEZER_STATE_THAWED);
}

void CyclesTest::Cycle() {
  Freeze();
  Thaw();
}

void CyclesTest::StartWorkload(const std::string& name,
                               const std::vector<std::string>& args) {
  Job::Options options;
  options.argv = {RunfilesPath(absl::StrCat("tests/testcases/", name)),
                  "--status", status_path()};
  options.argv.insert(options.argv.end(), args.begin(), args.end());
  options.cgroups = {group_.get()};
  const auto job = Job::Start(options);
  ASSERT_TRUE(job.ok()) << job.status();
  workload_ = job->pid();
  ASSERT_EQ(WaitForBeats(status_path(), 3, Soon()), absl::OkStatus());
}

void CyclesTest::ExpectUndisturbed() {
  EXPECT_EQ(WaitForBeats(status_path(), 3, Soon()), absl::OkStatus());
}

std::string VersionCaseName(const testing::TestParamInfo<CgroupVersion>& info) {
  return CgroupVersionName(info.param);
}

}  // namespace ckpt
