#include "agent/operations.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/operation_log.h"
#include "gtest/gtest.h"
#include "rpc/operation_end.h"
#include "tests/support/test_dir.h"

namespace ckpt::agent {
namespace {

class FakeLog : public OperationLog {
 public:
  absl::Status Save(const v1::Operation& operation) override {
    if (!next_save.ok()) return std::exchange(next_save, absl::OkStatus());
    saved[operation.id()] = operation;
    return absl::OkStatus();
  }
  void Remove(const std::string& id) override { saved.erase(id); }
  absl::StatusOr<std::vector<v1::Operation>> Load() override {
    std::vector<v1::Operation> all;
    for (const auto& [id, operation] : saved) all.push_back(operation);
    return all;
  }

  std::map<std::string, v1::Operation> saved;
  absl::Status next_save;
};

v1::Operation Wanted(const std::string& id, const std::string& image = "m") {
  v1::Operation wanted;
  wanted.set_id(id);
  wanted.set_cgroup("/cg/a");
  wanted.mutable_dump_request()->set_image(image);
  return wanted;
}

// A preparation whose work ends at once.
Operations::Prepare EndsWith(const absl::Status& status, int* times = nullptr) {
  return [status, times]() -> absl::StatusOr<Operations::Work> {
    return [status, times](const Operations::Running& running) {
      if (times != nullptr) ++*times;
      running.on_phase(v1::PHASE_FREEZE);
      running.result->mutable_dump_report()->set_processes(7);
      return status;
    };
  };
}

class OperationsTest : public testing::Test {
 protected:
  ~OperationsTest() override { Settle(); }

  void Settle() { EXPECT_TRUE(pool_.AwaitIdle(absl::InfiniteDuration())); }

  // Work that begins, and goes on until it is let go or cancelled.
  Operations::Prepare Blocks() {
    return [this]() -> absl::StatusOr<Operations::Work> {
      return [this](const Operations::Running& running) {
        begun_.Notify();
        release_.WaitForNotification();
        return running.cancel->cancelled() ? absl::CancelledError("undone")
                                           : absl::OkStatus();
      };
    };
  }

  v1::Operation Now(const std::string& id) {
    const auto operation = operations_.Get(id);
    EXPECT_TRUE(operation.ok()) << operation.status();
    return operation.ok() ? *operation : v1::Operation();
  }

  absl::Notification begun_, release_;
  FakeLog log_;
  WorkerPool pool_{{.threads = 2, .waiting = 10}};
  Operations operations_{pool_, log_};
};

TEST_F(OperationsTest, SuccessHasTheReportAndIsWrittenDown) {
  ASSERT_TRUE(
      operations_.Start(Wanted("one"), EndsWith(absl::OkStatus())).ok());
  Settle();
  const v1::Operation ended = Now("one");
  EXPECT_EQ(ended.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(ended.phase(), v1::PHASE_FREEZE);
  EXPECT_EQ(ended.dump_report().processes(), 7);
  EXPECT_GE(ended.ended_unix_ns(), ended.asked_unix_ns());
  EXPECT_EQ(log_.saved["one"].state(), v1::OPERATION_STATE_SUCCEEDED);
}

TEST_F(OperationsTest, WhatItHeldIsFreeWhenItsEndIsTold) {
  auto claim = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = claim;
  ASSERT_TRUE(operations_
                  .Start(Wanted("one"),
                         [&]() -> absl::StatusOr<Operations::Work> {
                           return [this, claim = std::move(claim)](
                                      const Operations::Running&) {
                             begun_.Notify();
                             release_.WaitForNotification();
                             return absl::OkStatus();
                           };
                         })
                  .ok());
  begun_.WaitForNotification();
  EXPECT_FALSE(watch.expired());
  absl::Notification ended;
  bool was_free = false;
  ASSERT_TRUE(operations_
                  .Observe("one",
                           [&](const v1::Operation& operation) {
                             if (!rpc::HasEnded(operation)) return;
                             was_free = watch.expired();
                             ended.Notify();
                           })
                  .ok());
  release_.Notify();
  ended.WaitForNotification();
  EXPECT_TRUE(was_free);
}

TEST_F(OperationsTest, FailureHasCodeMessageAndNoReport) {
  ASSERT_TRUE(operations_
                  .Start(Wanted("one"),
                         EndsWith(absl::FailedPreconditionError("ptraced")))
                  .ok());
  Settle();
  const v1::Operation ended = Now("one");
  EXPECT_EQ(ended.state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(ended.error().code(), 9);
  EXPECT_EQ(ended.error().message(), "ptraced");
  EXPECT_FALSE(ended.has_dump_report());
}

TEST_F(OperationsTest, SameIdAttachesToTheRunningOne) {
  ASSERT_TRUE(operations_.Start(Wanted("one"), Blocks()).ok());
  begun_.WaitForNotification();
  const auto again = operations_.Start(
      Wanted("one"), []() -> absl::StatusOr<Operations::Work> {
        ADD_FAILURE() << "prepared twice";
        return absl::InternalError("");
      });
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->state(), v1::OPERATION_STATE_RUNNING);
  release_.Notify();
}

TEST_F(OperationsTest, SameIdAfterTheEndIsNotDoneAgain) {
  int times = 0;
  const auto prepare = EndsWith(absl::OkStatus(), &times);
  ASSERT_TRUE(operations_.Start(Wanted("one"), prepare).ok());
  Settle();
  const auto again = operations_.Start(Wanted("one"), prepare);
  Settle();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(times, 1);
}

TEST_F(OperationsTest, SameIdForAnotherRequestIsRefused) {
  ASSERT_TRUE(
      operations_.Start(Wanted("one"), EndsWith(absl::OkStatus())).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(
      operations_.Start(Wanted("one", "other"), EndsWith(absl::OkStatus()))
          .status()));
}

TEST_F(OperationsTest, IdThatIsNoNameIsRefused) {
  for (const std::string& id :
       {std::string(), std::string("../x"), std::string("a b"),
        std::string(".a"), std::string(101, 'x')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        operations_.Start(Wanted(id), EndsWith(absl::OkStatus())).status()))
        << id;
  }
}

TEST_F(OperationsTest, RefusedPreparationLeavesTheIdFree) {
  const auto refused = operations_.Start(
      Wanted("one"), []() -> absl::StatusOr<Operations::Work> {
        return absl::UnavailableError("in use");
      });
  EXPECT_TRUE(absl::IsUnavailable(refused.status()));
  EXPECT_TRUE(log_.saved.empty());
  EXPECT_TRUE(
      operations_.Start(Wanted("one"), EndsWith(absl::OkStatus())).ok());
}

TEST_F(OperationsTest, WhatCannotBeWrittenDownIsNotStarted) {
  int times = 0;
  log_.next_save = absl::ResourceExhaustedError("full");
  const auto refused =
      operations_.Start(Wanted("one"), EndsWith(absl::OkStatus(), &times));
  Settle();
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_EQ(times, 0);
  EXPECT_TRUE(absl::IsNotFound(operations_.Get("one").status()));
}

TEST_F(OperationsTest, ClosedPoolStartsNothingAndWritesNothingDown) {
  pool_.Close();
  EXPECT_TRUE(absl::IsUnavailable(
      operations_.Start(Wanted("one"), EndsWith(absl::OkStatus())).status()));
  EXPECT_TRUE(log_.saved.empty());
}

TEST_F(OperationsTest, CancelReachesTheRunningOne) {
  ASSERT_TRUE(operations_.Start(Wanted("one"), Blocks()).ok());
  begun_.WaitForNotification();
  const auto asked = operations_.Cancel("one");
  ASSERT_TRUE(asked.ok());
  EXPECT_TRUE(asked->cancel_requested());
  EXPECT_FALSE(rpc::HasEnded(*asked));
  release_.Notify();
  Settle();
  EXPECT_EQ(Now("one").error().code(), 1);
}

TEST_F(OperationsTest, CancelAfterTheEndChangesNothing) {
  ASSERT_TRUE(
      operations_.Start(Wanted("one"), EndsWith(absl::OkStatus())).ok());
  Settle();
  const auto asked = operations_.Cancel("one");
  ASSERT_TRUE(asked.ok());
  EXPECT_FALSE(asked->cancel_requested());
  EXPECT_EQ(asked->state(), v1::OPERATION_STATE_SUCCEEDED);
}

TEST_F(OperationsTest, UnknownIdIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(operations_.Get("x").status()));
  EXPECT_TRUE(absl::IsNotFound(operations_.Cancel("x").status()));
  EXPECT_TRUE(absl::IsNotFound(
      operations_.Observe("x", [](const v1::Operation&) {}).status()));
}

TEST_F(OperationsTest, ObserverSeesEveryChangeUpToTheEnd) {
  ASSERT_TRUE(operations_.Start(Wanted("one"), Blocks()).ok());
  begun_.WaitForNotification();
  std::vector<v1::OperationState> seen;
  absl::Notification ended;
  ASSERT_TRUE(operations_
                  .Observe("one",
                           [&](const v1::Operation& operation) {
                             seen.push_back(operation.state());
                             if (rpc::HasEnded(operation)) ended.Notify();
                           })
                  .ok());
  release_.Notify();
  ended.WaitForNotification();
  EXPECT_EQ(seen,
            (std::vector<v1::OperationState>{v1::OPERATION_STATE_RUNNING,
                                             v1::OPERATION_STATE_SUCCEEDED}));
}

TEST_F(OperationsTest, UnobservedIsNotCalledAnyMore) {
  ASSERT_TRUE(operations_.Start(Wanted("one"), Blocks()).ok());
  int calls = 0;
  const auto number =
      operations_.Observe("one", [&](const v1::Operation&) { ++calls; });
  ASSERT_TRUE(number.ok());
  operations_.Unobserve("one", *number);
  const int before = calls;
  release_.Notify();
  Settle();
  EXPECT_EQ(calls, before);
}

TEST_F(OperationsTest, UnfinishedOneOfAFormerAgentIsAbortedAndNotDoneAgain) {
  v1::Operation left = Wanted("left");
  left.set_state(v1::OPERATION_STATE_RUNNING);
  log_.saved["left"] = left;
  ASSERT_EQ(operations_.Recover(
                [](const v1::Operation&) { return "the job runs on"; }),
            absl::OkStatus());
  int times = 0;
  const auto again =
      operations_.Start(Wanted("left"), EndsWith(absl::OkStatus(), &times));
  Settle();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->error().code(), 10);
  EXPECT_TRUE(absl::StrContains(again->error().message(), "the job runs on"));
  EXPECT_EQ(times, 0);
  EXPECT_EQ(log_.saved["left"].state(), v1::OPERATION_STATE_FAILED);
}

TEST_F(OperationsTest, EndedOneOfAFormerAgentIsKnownAsItWas) {
  v1::Operation done = Wanted("done");
  done.set_state(v1::OPERATION_STATE_SUCCEEDED);
  log_.saved["done"] = done;
  ASSERT_EQ(operations_.Recover([](const v1::Operation&) { return ""; }),
            absl::OkStatus());
  EXPECT_EQ(Now("done").state(), v1::OPERATION_STATE_SUCCEEDED);
}

TEST_F(OperationsTest, OldestEndedOnesAreForgotten) {
  for (size_t i = 0; i < Operations::kRemembered + 5; ++i) {
    v1::Operation done = Wanted(absl::StrCat("op", i));
    done.set_state(v1::OPERATION_STATE_SUCCEEDED);
    done.set_asked_unix_ns(static_cast<int64_t>(i + 1));
    log_.saved[done.id()] = done;
  }
  ASSERT_EQ(operations_.Recover([](const v1::Operation&) { return ""; }),
            absl::OkStatus());
  EXPECT_EQ(log_.saved.size(), Operations::kRemembered);
  EXPECT_TRUE(absl::IsNotFound(operations_.Get("op4").status()));
  EXPECT_TRUE(operations_.Get("op5").ok());
}

TEST(FileOperationLogTest, KeepsWhatWasSavedLast) {
  const TestDir dir;
  FileOperationLog log(dir.File("a/b"));
  EXPECT_TRUE(log.Load()->empty());
  v1::Operation operation = Wanted("one");
  ASSERT_EQ(log.Save(operation), absl::OkStatus());
  operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
  ASSERT_EQ(log.Save(operation), absl::OkStatus());
  const auto loaded = FileOperationLog(dir.File("a/b")).Load();
  ASSERT_TRUE(loaded.ok());
  ASSERT_EQ(loaded->size(), 1);
  EXPECT_EQ(loaded->front().state(), v1::OPERATION_STATE_SUCCEEDED);
  log.Remove("one");
  EXPECT_TRUE(log.Load()->empty());
}

}  // namespace
}  // namespace ckpt::agent
