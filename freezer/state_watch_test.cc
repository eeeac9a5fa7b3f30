// On the real kernel's freezers.
#include "freezer/state_watch.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "tests/support/blocked_task.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::freezer {
namespace {

using Events = std::vector<v1::WatchEvent>;

class StateWatchTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    auto made = TestCgroup::Create(GetParam());
    ASSERT_TRUE(made.ok()) << made.status();
    outer_ = *std::move(made);
    auto child = outer_->CreateChild("inner");
    ASSERT_TRUE(child.ok()) << child.status();
    inner_ = *std::move(child);
  }

  void Watch(const std::vector<const TestCgroup*>& directories) {
    std::vector<std::unique_ptr<Cgroup>> groups;
    for (const TestCgroup* directory : directories) {
      auto group = OpenCgroup(directory->path());
      ASSERT_TRUE(group.ok()) << group.status();
      groups.push_back(*std::move(group));
    }
    auto watch = StateWatch::Start(std::move(groups));
    ASSERT_TRUE(watch.ok()) << watch.status();
    watch_ = *std::move(watch);
    ASSERT_EQ(Next().size(), directories.size());
  }

  Events Next() {
    auto events = watch_->Wait(Clock::Real().Now() + absl::Minutes(1), nullptr);
    EXPECT_TRUE(events.ok()) << events.status();
    EXPECT_TRUE(!events.ok() || !events->empty());
    return events.ok() ? *std::move(events) : Events();
  }

  // The events up to the one that shows `state`.
  Events Until(v1::FreezerState state) {
    Events all;
    const absl::Time deadline = Clock::Real().Now() + absl::Minutes(1);
    while (!watch_->AllIn(state) && Clock::Real().Now() < deadline) {
      for (v1::WatchEvent& event : Next()) all.push_back(std::move(event));
    }
    EXPECT_TRUE(watch_->AllIn(state));
    return all;
  }

  Events WhatIsThere() {
    auto events = watch_->Wait(absl::InfinitePast(), nullptr);
    return events.ok() ? *std::move(events) : Events();
  }

  std::unique_ptr<TestCgroup> outer_;
  std::unique_ptr<TestCgroup> inner_;
  std::unique_ptr<StateWatch> watch_;
};

TEST_P(StateWatchTest, BeginsWithTheStateThatIsThere) {
  ASSERT_EQ(outer_->RequestFreeze(), absl::OkStatus());
  auto group = OpenCgroup(inner_->path());
  ASSERT_TRUE(group.ok());
  std::vector<std::unique_ptr<Cgroup>> groups;
  groups.push_back(*std::move(group));
  auto watch = StateWatch::Start(std::move(groups));
  ASSERT_TRUE(watch.ok()) << watch.status();
  watch_ = *std::move(watch);
  const Events events = Next();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].cgroup(), inner_->path());
  EXPECT_EQ(events[0].from(), v1::FREEZER_STATE_UNSPECIFIED);
  EXPECT_EQ(events[0].status().frozen_ancestor(), outer_->path());
  EXPECT_FALSE(events[0].status().self_freezing());
  EXPECT_LE(events[0].unix_ns(), absl::ToUnixNanos(absl::Now()));
  EXPECT_GT(events[0].unix_ns(),
            absl::ToUnixNanos(absl::Now() - absl::Minutes(1)));
}

TEST_P(StateWatchTest, FreezeIsToldWithItsWriter) {
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get()}));
  ASSERT_EQ(inner_->RequestFreeze(), absl::OkStatus());
  const Events events = Until(v1::FREEZER_STATE_FROZEN);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0].from(), v1::FREEZER_STATE_THAWED);
  EXPECT_EQ(events[0].writer_pid(), ::getpid());
  EXPECT_TRUE(events[0].status().self_freezing());
}

TEST_P(StateWatchTest, AncestorsFreezeIsToldAndNamed) {
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get()}));
  ASSERT_EQ(outer_->RequestFreeze(), absl::OkStatus());
  const Events events = Until(v1::FREEZER_STATE_FROZEN);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().status().frozen_ancestor(), outer_->path());
  EXPECT_EQ(events[0].writer_pid(), ::getpid());
}

TEST_P(StateWatchTest, QuickFreezeAndThawIsNotMissed) {
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get()}));
  const std::string file =
      inner_->path() +
      (GetParam() == CgroupVersion::kV1 ? "/freezer.state" : "/cgroup.freeze");
  const bool is_v1 = GetParam() == CgroupVersion::kV1;
  const auto result = RunCommand(
      {"/bin/sh", "-c",
       absl::StrCat("echo $$; echo ", is_v1 ? "FROZEN" : "1", " > ", file,
                    "; echo ", is_v1 ? "THAWED" : "0", " > ", file)});
  ASSERT_TRUE(result.ok() && result->exit_status == 0);
  const Events events = Next();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(absl::StrCat(events[0].writer_pid(), "\n"), result->out);
}

TEST_P(StateWatchTest, EachWriterIsAnEvent) {
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get()}));
  ASSERT_EQ(inner_->Thaw(), absl::OkStatus());
  const std::string word = GetParam() == CgroupVersion::kV1 ? "THAWED" : "0";
  const std::string file =
      GetParam() == CgroupVersion::kV1 ? "/freezer.state" : "/cgroup.freeze";
  const auto result =
      RunCommand({"/bin/sh", "-c",
                  absl::StrCat("echo ", word, " > ", inner_->path(), file)});
  ASSERT_TRUE(result.ok() && result->exit_status == 0);
  const Events events = WhatIsThere();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].writer_pid(), ::getpid());
  EXPECT_NE(events[1].writer_pid(), ::getpid());
  EXPECT_EQ(events[1].status().state(), v1::FREEZER_STATE_THAWED);
}

TEST_P(StateWatchTest, BlockedFreezeIsToldTwice) {
  BecomeReaper();
  auto blocked =
      BlockedTask::Start(BlockedTask::Kind::kPageFault, {inner_.get()});
  ASSERT_TRUE(blocked.ok()) << blocked.status();
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get()}));
  ASSERT_EQ(inner_->RequestFreeze(), absl::OkStatus());
  EXPECT_EQ(Next().back().status().state(), v1::FREEZER_STATE_FREEZING);
  ASSERT_EQ((*blocked)->Unblock(), absl::OkStatus());
  const Events events = Until(v1::FREEZER_STATE_FROZEN);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().from(), v1::FREEZER_STATE_FREEZING);
}

TEST_P(StateWatchTest, RemovalIsTheLastEvent) {
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get(), outer_.get()}));
  inner_.reset();
  v1::WatchEvent last;
  while (!last.removed()) {
    const Events events = Next();
    ASSERT_FALSE(events.empty());
    for (const v1::WatchEvent& event : events) {
      if (event.removed()) last = event;
    }
  }
  EXPECT_EQ(last.cgroup(), outer_->path() + "/inner");
  EXPECT_FALSE(watch_->AllRemoved());
  ASSERT_EQ(outer_->RequestFreeze(), absl::OkStatus());
  for (const v1::WatchEvent& event : Until(v1::FREEZER_STATE_FROZEN)) {
    EXPECT_EQ(event.cgroup(), outer_->path());
  }
}

TEST_P(StateWatchTest, NothingIsToldWhenNothingHappens) {
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get()}));
  (void)inner_->State();
  EXPECT_TRUE(WhatIsThere().empty());
}

TEST_P(StateWatchTest, CancellationEndsTheWait) {
  ASSERT_NO_FATAL_FAILURE(Watch({inner_.get()}));
  Cancellation cancel;
  cancel.Cancel();
  EXPECT_EQ(watch_->Wait(absl::InfiniteFuture(), &cancel).status().code(),
            absl::StatusCode::kCancelled);
}

INSTANTIATE_TEST_SUITE_P(Freezers, StateWatchTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::freezer
