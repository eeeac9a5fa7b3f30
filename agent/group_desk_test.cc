#include "agent/group_desk.h"

#include <string>
#include <vector>

#include "agent/fake_work.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

using Done = std::vector<std::string>;

class GroupDeskTest : public testing::Test {
 protected:
  GroupDeskTest() {
    work_.groups.Add("/jobs/a");
    work_.groups.Add("/jobs/b");
    work_.groups.Add("/other");
    seven_.uid = 7;
    seven_.name = "uid 7";
    eight_.uid = 8;
  }

  static Policy JobsOnly() {
    return *Policy::Parse(
        "rule { local_user: '7' verb: FREEZE verb: THAW verb: STATUS "
        "verb: WATCH cgroup: '/jobs' }",
        UserNames::Real());
  }

  static v1::FreezeRequest Freeze(const std::vector<std::string>& groups) {
    v1::FreezeRequest request;
    for (const std::string& group : groups) request.add_cgroups(group);
    return request;
  }

  Caller seven_, eight_;
  const Gate gate_{JobsOnly(), [](const std::string&) {}};
  GroupClaims claims_;
  FakeGroupWork work_;
  GroupDesk desk_{gate_, claims_, work_};
  const Cancellation cancel_;
};

TEST_F(GroupDeskTest, AdmittedRequestNamesDirectories) {
  EXPECT_TRUE(
      desk_.Freeze(seven_, Freeze({"jobs/a", "/jobs/b"}), cancel_).ok());
  EXPECT_EQ(work_.done, Done{"freeze /cg/jobs/a /cg/jobs/b"});
}

TEST_F(GroupDeskTest, RefusedRequestReachesNothing) {
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Freeze(seven_, Freeze({"jobs/a", "other"}), cancel_).status()));
  v1::KillRequest kill;
  kill.add_cgroups("jobs/a");
  EXPECT_TRUE(
      absl::IsPermissionDenied(desk_.Kill(seven_, kill, cancel_).status()));
  EXPECT_EQ(work_.done, Done());
}

TEST_F(GroupDeskTest, WhoHasNoRightLearnsNotWhatThereIs) {
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Freeze(eight_, Freeze({"jobs/nothing"}), cancel_).status()));
  EXPECT_TRUE(absl::IsNotFound(
      desk_.Freeze(seven_, Freeze({"jobs/nothing"}), cancel_).status()));
}

TEST_F(GroupDeskTest, RequestWithoutAGroupIsInvalid) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      desk_.Freeze(seven_, v1::FreezeRequest(), cancel_).status()));
}

TEST_F(GroupDeskTest, GroupIsWorkedOnByOneAndSeenByAll) {
  absl::Status thawed, seen, watched;
  work_.meanwhile = [&] {
    v1::ThawRequest thaw;
    thaw.add_cgroups("jobs/a");
    thawed = desk_.Thaw(seven_, thaw, cancel_).status();
    v1::StatusRequest status;
    status.add_cgroups("jobs/a");
    seen = desk_.Status(seven_, status).status();
    v1::WatchRequest watch;
    watch.add_cgroups("jobs/a");
    watched = desk_.Watch(seven_, watch, cancel_, [](const v1::WatchEvent&) {
      return absl::OkStatus();
    });
  };
  EXPECT_TRUE(desk_.Freeze(seven_, Freeze({"jobs/a"}), cancel_).ok());
  EXPECT_TRUE(absl::IsUnavailable(thawed)) << thawed;
  EXPECT_EQ(seen, absl::OkStatus());
  EXPECT_EQ(watched, absl::OkStatus());
  // And after that it is free.
  EXPECT_TRUE(desk_.Freeze(seven_, Freeze({"jobs/a"}), cancel_).ok());
}

}  // namespace
}  // namespace ckpt::agent
