#include "agent/job_desk.h"

#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "agent/fake_work.h"
#include "base/cancellation.h"
#include "gtest/gtest.h"

namespace ckpt::agent {
namespace {

using Done = std::vector<std::string>;

class JobDeskTest : public testing::Test {
 protected:
  JobDeskTest() {
    work_.groups.Add("/jobs/a");
    work_.groups.Add("/other");
    work_.images = {{"mine", "/jobs/a"}, {"theirs", "/other"}};
    seven_.uid = 7;
    root_.uid = 0;
  }
  ~JobDeskTest() override { Settle(); }

  static Policy JobsOnly() {
    return *Policy::Parse(
        "rule { local_user: '7' verb: ALL cgroup: '/jobs' }\n"
        "rule { local_user: '0' verb: ALL cgroup: '/' }",
        UserNames::Real());
  }

  static v1::DumpOperationRequest Dump(const std::string& id,
                                       const std::string& cgroup,
                                       const std::string& image = "new") {
    v1::DumpOperationRequest request;
    request.set_operation_id(id);
    request.mutable_request()->set_cgroup(cgroup);
    request.mutable_request()->set_image(image);
    return request;
  }

  static v1::RestoreOperationRequest Restore(const std::string& id,
                                             const std::string& image,
                                             const std::string& cgroup = "") {
    v1::RestoreOperationRequest request;
    request.set_operation_id(id);
    request.mutable_request()->set_image(image);
    request.mutable_request()->set_cgroup(cgroup);
    return request;
  }

  static v1::ImageRequest ImageNamed(const std::string& name) {
    v1::ImageRequest request;
    request.set_image(name);
    return request;
  }

  static v1::OperationRequest Id(const std::string& id) {
    v1::OperationRequest request;
    request.set_operation_id(id);
    return request;
  }

  void Settle() { EXPECT_TRUE(pool_.AwaitIdle(absl::InfiniteDuration())); }

  Caller seven_, root_;
  const Gate gate_{JobsOnly(), [](const std::string&) {}};
  GroupClaims claims_;
  FakeJobWork work_;
  ForgetfulLog log_;
  WorkerPool pool_{{.threads = 2, .waiting = 10}};
  Operations operations_{pool_, log_};
  JobDesk desk_{gate_, claims_, operations_, work_};
};

TEST_F(JobDeskTest, DumpIsDoneByTheGroupsDirectory) {
  ASSERT_TRUE(desk_.Dump(seven_, Dump("op", "jobs/a")).ok());
  Settle();
  EXPECT_EQ(work_.done, Done{"dump /cg/jobs/a new"});
}

TEST_F(JobDeskTest, RefusedDumpIsNoOperation) {
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Dump(seven_, Dump("op", "other")).status()));
  EXPECT_TRUE(absl::IsNotFound(operations_.Get("op").status()));
  EXPECT_EQ(work_.done, Done());
}

TEST_F(JobDeskTest, EndedDumpIsKnownThoughItsGroupIsGone) {
  ASSERT_TRUE(desk_.Dump(seven_, Dump("op", "jobs/a")).ok());
  Settle();
  work_.groups.Remove("/jobs/a");
  const auto again = desk_.Dump(seven_, Dump("op", "jobs/a"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(work_.done.size(), 1);
}

TEST_F(JobDeskTest, IdOfSomebodyElsesOperationTellsNothing) {
  ASSERT_TRUE(desk_.Dump(root_, Dump("op", "other")).ok());
  Settle();
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Dump(seven_, Dump("op", "jobs/a")).status()));
  EXPECT_TRUE(
      absl::IsPermissionDenied(desk_.GetOperation(seven_, Id("op")).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.CancelOperation(seven_, Id("op")).status()));
  EXPECT_EQ(desk_.ListOperations(seven_)->operations_size(), 0);
  EXPECT_EQ(desk_.ListOperations(root_)->operations_size(), 1);
}

TEST_F(JobDeskTest, SecondDumpOfAGroupIsRefusedWhileTheFirstLasts) {
  absl::Notification begun, release;
  work_.meanwhile = [&] {
    begun.Notify();
    release.WaitForNotification();
  };
  ASSERT_TRUE(desk_.Dump(seven_, Dump("one", "jobs/a")).ok());
  begun.WaitForNotification();
  EXPECT_TRUE(absl::IsUnavailable(
      desk_.Dump(seven_, Dump("two", "jobs/a", "another")).status()));
  release.Notify();
  Settle();
  EXPECT_TRUE(desk_.Dump(seven_, Dump("two", "jobs/a", "another")).ok());
}

TEST_F(JobDeskTest, RestoreGoesWhereTheImageSaysOrTheRequest) {
  ASSERT_TRUE(desk_.Restore(seven_, Restore("one", "mine")).ok());
  Settle();
  ASSERT_TRUE(desk_.Restore(seven_, Restore("two", "mine", "jobs/c")).ok());
  Settle();
  EXPECT_EQ(work_.done,
            (Done{"restore mine /cg/jobs/a", "restore mine /cg/jobs/c"}));
}

TEST_F(JobDeskTest, RestoreNeedsTheRightOnBothGroups) {
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Restore(seven_, Restore("op", "theirs", "jobs/c")).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Restore(seven_, Restore("op", "mine", "elsewhere")).status()));
  EXPECT_EQ(work_.done, Done());
}

TEST_F(JobDeskTest, WhatAnImageSaysNamesNoFilesUnlessTheCallerMayDoAll) {
  work_.origins["mine"].options.set_root("/elsewhere");
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Restore(seven_, Restore("one", "mine")).status()));
  work_.origins["mine"].options.clear_root();
  work_.origins["mine"].options.add_external("mnt[/etc]:x");
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.Restore(seven_, Restore("one", "mine")).status()));
  EXPECT_TRUE(desk_.Restore(root_, Restore("one", "mine")).ok());
  Settle();
  work_.origins["mine"].options.clear_external();
  work_.origins["mine"].options.add_external("pipe:[7]");
  EXPECT_TRUE(desk_.Restore(seven_, Restore("two", "mine")).ok());
  Settle();
  EXPECT_EQ(work_.done.size(), 2);
}

TEST_F(JobDeskTest, ImageOfAnotherNodeCutsNoFilesUnlessTheCallerMayDoAll) {
  v1::RestoreOperationRequest request = Restore("one", "mine");
  request.mutable_request()->set_output_policy(v1::OUTPUT_POLICY_TRUNCATE);
  work_.origins["mine"].arrived = true;
  EXPECT_TRUE(
      absl::IsPermissionDenied(desk_.Restore(seven_, request).status()));
  EXPECT_EQ(work_.done, Done());
  EXPECT_TRUE(desk_.Restore(root_, request).ok());
  Settle();
  work_.origins["mine"].arrived = false;
  request.set_operation_id("two");
  EXPECT_TRUE(desk_.Restore(seven_, request).ok());
  Settle();
  EXPECT_EQ(work_.done.size(), 2);
}

TEST_F(JobDeskTest, ImagesGoByTheGroupOfTheirJob) {
  EXPECT_TRUE(desk_.GetImage(seven_, ImageNamed("mine")).ok());
  EXPECT_TRUE(
      desk_.VerifyImage(seven_, ImageNamed("mine"), Cancellation()).ok());
  EXPECT_TRUE(desk_.RemoveImage(seven_, ImageNamed("mine")).ok());
  EXPECT_EQ(work_.done, (Done{"get mine", "verify mine", "remove mine"}));
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.RemoveImage(seven_, ImageNamed("theirs")).status()));
  EXPECT_EQ(work_.done.size(), 3);
  const auto list = desk_.ListImages(seven_);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->images_size(), 1);
  EXPECT_EQ(list->images(0).name(), "mine");
}

TEST_F(JobDeskTest, DamagedImageIsForThoseWithAllGroups) {
  work_.damaged.insert("broken");
  EXPECT_TRUE(absl::IsPermissionDenied(
      desk_.RemoveImage(seven_, ImageNamed("broken")).status()));
  EXPECT_TRUE(desk_.RemoveImage(root_, ImageNamed("broken")).ok());
}

TEST_F(JobDeskTest, FilesOfTheNodeAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      desk_.Dump(root_, Dump("op", "jobs/a", "/etc/x")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      desk_.Restore(root_, Restore("op", "../x")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      desk_.GetImage(root_, ImageNamed("./x")).status()));
  using Change = void (*)(v1::DumpRequest&);
  for (const Change change : std::vector<Change>{
           [](v1::DumpRequest& r) { r.set_no_freezer(true); },
           [](v1::DumpRequest& r) { r.set_self_pid(1); },
           [](v1::DumpRequest& r) { r.clear_cgroup(); },
           [](v1::DumpRequest& r) { r.mutable_criu()->set_root("/"); },
           [](v1::DumpRequest& r) { r.mutable_criu()->set_config_file("/x"); },
           [](v1::DumpRequest& r) { r.mutable_criu()->add_inherit_fds(); },
           [](v1::DumpRequest& r) {
             r.mutable_criu()->add_external("mnt[/etc]:x");
           }}) {
    v1::DumpOperationRequest request = Dump("op", "jobs/a");
    change(*request.mutable_request());
    EXPECT_TRUE(absl::IsInvalidArgument(desk_.Dump(root_, request).status()))
        << request.ShortDebugString();
  }
  v1::RestoreOperationRequest restore = Restore("op", "mine");
  restore.mutable_request()->set_pidfile("/x");
  EXPECT_TRUE(absl::IsInvalidArgument(desk_.Restore(root_, restore).status()));
  EXPECT_EQ(work_.done, Done());
}

}  // namespace
}  // namespace ckpt::agent
