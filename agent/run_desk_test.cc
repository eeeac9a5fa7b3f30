#include "agent/run_desk.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/fake_work.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

class FakeRunWork : public RunWork {
 public:
  void Add(const std::string& name, const std::string& cgroup) {
    v1::JobStatus& job = jobs_[name];
    job.mutable_record()->set_name(name);
    job.mutable_record()->set_cgroup(cgroup);
  }

  absl::StatusOr<std::vector<v1::JobStatus>> List() override {
    std::vector<v1::JobStatus> all;
    for (const auto& [name, job] : jobs_) all.push_back(job);
    return all;
  }
  absl::StatusOr<v1::JobStatus> Get(const std::string& name) override {
    const auto found = jobs_.find(name);
    if (found == jobs_.end()) return absl::NotFoundError("no job");
    return found->second;
  }
  absl::Status Suspend(const std::string& name) override {
    return Note("suspend " + name);
  }
  absl::Status Resume(const std::string& name) override {
    return Note("resume " + name);
  }
  absl::StatusOr<v1::StopReport> Stop(const v1::StopJobRequest& request,
                                      const Cancellation&) override {
    (void)Note("stop " + request.name());
    return v1::StopReport();
  }
  absl::StatusOr<v1::KillReport> Kill(const v1::KillJobRequest& request,
                                      const Cancellation&) override {
    (void)Note("kill " + request.name());
    return v1::KillReport();
  }
  absl::StatusOr<v1::JobLogChunk> ReadLog(
      const v1::JobLogRequest& request) override {
    (void)Note("log " + request.name());
    return v1::JobLogChunk();
  }

  std::vector<std::string> done;

 private:
  absl::Status Note(const std::string& what) {
    done.push_back(what);
    return absl::OkStatus();
  }

  std::map<std::string, v1::JobStatus> jobs_;
};

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

class RunDeskTest : public testing::Test {
 protected:
  RunDeskTest() {
    seven_.uid = 7;
    root_.uid = 0;
    work_.Add("mine", "/cg/jobs/mine");
    work_.Add("other", "/cg/other");
  }

  static Policy JobsOnly() {
    const auto policy = Policy::Parse(
        "rule { local_user: '7' verb: ALL cgroup: '/jobs' }\n"
        "rule { local_user: '0' verb: ALL cgroup: '/' }",
        UserNames::Real());
    EXPECT_TRUE(policy.ok()) << policy.status();
    return *policy;
  }

  Caller seven_, root_;
  const Gate gate_{JobsOnly(), [](const std::string&) {}};
  GroupClaims claims_;
  FakeJobWork places_;
  FakeRunWork work_;
  const Cancellation cancel_;
  RunDesk desk_{gate_, claims_, places_, work_};
};

TEST_F(RunDeskTest, JobsOfAllowedGroupsAreListedAndChanged) {
  const auto seen = desk_.List(seven_);
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(seen->jobs_size(), 1);
  EXPECT_EQ(seen->jobs(0).record().name(), "mine");
  EXPECT_EQ(desk_.List(root_)->jobs_size(), 2);
  EXPECT_TRUE(desk_.Suspend(seven_, Named<v1::JobRequest>("mine")).ok());
  EXPECT_TRUE(desk_.Resume(seven_, Named<v1::JobRequest>("mine")).ok());
  EXPECT_TRUE(
      desk_.Stop(seven_, Named<v1::StopJobRequest>("mine"), cancel_).ok());
  EXPECT_TRUE(
      desk_.Kill(seven_, Named<v1::KillJobRequest>("mine"), cancel_).ok());
  EXPECT_TRUE(desk_.ReadLog(seven_, Named<v1::JobLogRequest>("mine")).ok());
  EXPECT_EQ(work_.done,
            (std::vector<std::string>{"suspend mine", "resume mine",
                                      "stop mine", "kill mine", "log mine"}));
}

TEST_F(RunDeskTest, JobsOfOtherGroupsAreRefusedAndUntouched) {
  const auto expect_denied = [](const absl::Status& status) {
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  };
  const std::string other = "other";
  expect_denied(desk_.Suspend(seven_, Named<v1::JobRequest>(other)).status());
  expect_denied(desk_.Resume(seven_, Named<v1::JobRequest>(other)).status());
  expect_denied(
      desk_.Stop(seven_, Named<v1::StopJobRequest>(other), cancel_).status());
  expect_denied(
      desk_.Kill(seven_, Named<v1::KillJobRequest>(other), cancel_).status());
  expect_denied(
      desk_.ReadLog(seven_, Named<v1::JobLogRequest>(other)).status());
  EXPECT_TRUE(work_.done.empty());
}

TEST_F(RunDeskTest, LogOfAJobThatHasEndedIsForThoseOfAllGroups) {
  const auto request = Named<v1::JobLogRequest>("ended");
  EXPECT_TRUE(
      absl::IsPermissionDenied(desk_.ReadLog(seven_, request).status()));
  EXPECT_TRUE(desk_.ReadLog(root_, request).ok());
}

TEST_F(RunDeskTest, PathIsNoName) {
  for (const std::string name : {"", ".", "..", "../../tmp/forged", "a/b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        desk_.ReadLog(root_, Named<v1::JobLogRequest>(name)).status()))
        << name;
    EXPECT_TRUE(absl::IsInvalidArgument(
        desk_.Suspend(root_, Named<v1::JobRequest>(name)).status()))
        << name;
  }
  EXPECT_TRUE(work_.done.empty());
}

TEST_F(RunDeskTest, JobThatAnOperationWorksOnIsBusy) {
  const auto claim = claims_.Take({"/cg/jobs/mine"}, "the dump of operation x");
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_TRUE(absl::IsUnavailable(
      desk_.Suspend(seven_, Named<v1::JobRequest>("mine")).status()));
  EXPECT_TRUE(work_.done.empty());
}

}  // namespace
}  // namespace ckpt::agent
