#include "agent/migration_desk.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agent/fake_work.h"
#include "agent/worker_pool.h"
#include "gtest/gtest.h"
#include "migrate/journal.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

absl::Status NotNow() { return absl::FailedPreconditionError("not now"); }

class StayingJob : public migrate::SourceJob {
 public:
  absl::StatusOr<v1::JobNeeds> Describe(const v1::MigrationRecord&) override {
    return NotNow();
  }
  absl::StatusOr<v1::DumpReport> Leave(const v1::MigrationRecord&, const Steps&,
                                       const Cancellation*) override {
    return NotNow();
  }
  std::string BootId() override { return ""; }
  absl::Status Unlock(const v1::MigrationRecord&, Whereabouts) override {
    return absl::OkStatus();
  }
  absl::Status EndTasks(const v1::MigrationRecord&) override {
    return absl::OkStatus();
  }
  absl::Status DropImage(const v1::MigrationRecord&) override {
    return absl::OkStatus();
  }
};

class NoJob : public migrate::DestinationJob {
 public:
  bool IsHeld(const std::string&) override { return false; }
  absl::Status Reserve(const v1::MigrationRecord&) override { return NotNow(); }
  absl::StatusOr<std::string> Verify(const v1::MigrationRecord&) override {
    return NotNow();
  }
  std::string BootId() override { return ""; }
  absl::StatusOr<migrate::BuiltJob> Hold(const v1::MigrationRecord&) override {
    return NotNow();
  }
  absl::Status EndBuilt(const v1::MigrationRecord&) override {
    return absl::OkStatus();
  }
  void DropLog(const v1::MigrationRecord&) override {}
  absl::StatusOr<v1::RestoreReport> Run(const v1::MigrationRecord&,
                                        const Releasing&) override {
    return NotNow();
  }
  absl::StatusOr<Fate> FateOf(const v1::MigrationRecord&) override {
    return NotNow();
  }
  absl::Status Drop(const v1::MigrationRecord&) override {
    return absl::OkStatus();
  }
  absl::Status DropImage(const v1::MigrationRecord&) override {
    return absl::OkStatus();
  }
};

class MigrationDeskTest : public testing::Test {
 protected:
  MigrationDeskTest() {
    work_.groups.Add("/jobs/a");
    seven_.uid = 7;
    controller_.clients = {"controller"};
  }
  ~MigrationDeskTest() override {
    EXPECT_TRUE(pool_.AwaitIdle(absl::InfiniteDuration()));
  }

  static Policy JobsOnly() {
    return *Policy::Parse(
        "rule { local_user: '7' client: 'controller' verb: ALL "
        "cgroup: '/jobs' }",
        UserNames::Real());
  }

  absl::Status Migrate(const Caller& caller, const std::string& to,
                       const std::string& to_cgroup) {
    v1::MigrateOperationRequest request;
    request.set_operation_id(absl::StrCat("op", ++asked_));
    request.mutable_request()->set_cgroup("jobs/a");
    request.mutable_request()->set_to(to);
    request.mutable_request()->set_to_cgroup(to_cgroup);
    const absl::Status started = desk_.Migrate(caller, request).status();
    EXPECT_TRUE(pool_.AwaitIdle(absl::InfiniteDuration()));
    return started;
  }

  int asked_ = 0;
  Caller seven_, controller_;
  TestDir dir_;
  const std::unique_ptr<migrate::FileJournal> journal_ =
      *migrate::FileJournal::Open(dir_.File("journal"));
  StayingJob source_job_;
  NoJob destination_job_;
  Migrations migrations_{
      *journal_, source_job_, destination_job_,
      [](const v1::MigrationRecord&, const Migrations::OnProgress&)
          -> absl::StatusOr<std::unique_ptr<migrate::Peer>> {
        return NotNow();
      }};
  const Gate gate_{JobsOnly(), [](const std::string&) {}};
  GroupClaims claims_;
  FakeJobWork work_;
  ForgetfulLog log_;
  WorkerPool pool_{{.threads = 1, .waiting = 10}};
  Operations operations_{pool_, log_};
  MigrationDesk desk_{gate_, claims_, operations_, work_, migrations_};
};

TEST_F(MigrationDeskTest, JobGoesIntoAGroupThatItsCallerHasTheRightOn) {
  EXPECT_EQ(Migrate(seven_, "node2:7070", ""), absl::OkStatus());
  EXPECT_EQ(Migrate(seven_, "node2:7070", "jobs/a"), absl::OkStatus());
  EXPECT_EQ(Migrate(seven_, "node2:7070", "jobs/b"), absl::OkStatus());
  EXPECT_TRUE(
      absl::IsPermissionDenied(Migrate(seven_, "node2:7070", "elsewhere")));
}

TEST_F(MigrationDeskTest, CallerOfAnotherMachineNamesNoSocketOfThisOne) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Migrate(controller_, "unix:/run/other/ckptd.sock", "")));
  EXPECT_EQ(Migrate(controller_, "node2:7070", ""), absl::OkStatus());
  EXPECT_EQ(Migrate(seven_, "unix:/run/other/ckptd.sock", ""),
            absl::OkStatus());
}

}  // namespace
}  // namespace ckpt::agent
