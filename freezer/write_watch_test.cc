// On the real kernel's files, of both freezers.
#include "freezer/write_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"

namespace ckpt::freezer {
namespace {

class WriteWatchTest : public testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    auto made = TestCgroup::Create(GetParam());
    ASSERT_TRUE(made.ok()) << made.status();
    directory_ = *std::move(made);
    auto group = OpenCgroup(directory_->path());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
    auto watch = WriteWatch::Start();
    ASSERT_TRUE(watch.ok()) << watch.status();
    watch_ = *std::move(watch);
  }

  std::string RequestFile() const {
    return directory_->path() + (GetParam() == CgroupVersion::kV1
                                     ? "/freezer.state"
                                     : "/cgroup.freeze");
  }

  std::vector<GroupWrite> Take() {
    auto writes = watch_->Take();
    EXPECT_TRUE(writes.ok()) << writes.status();
    return writes.ok() ? *std::move(writes) : std::vector<GroupWrite>();
  }

  bool IsReadable() const {
    pollfd wait = {watch_->fd(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }

  std::unique_ptr<TestCgroup> directory_;
  std::unique_ptr<Cgroup> group_;
  std::unique_ptr<WriteWatch> watch_;
};

TEST_P(WriteWatchTest, QuietGroupGivesNothing) {
  ASSERT_EQ(watch_->AddRequest(*group_), absl::OkStatus());
  ASSERT_EQ(watch_->AddMembership(*group_), absl::OkStatus());
  (void)directory_->State();
  (void)directory_->Processes();
  EXPECT_FALSE(IsReadable());
  EXPECT_TRUE(Take().empty());
}

TEST_P(WriteWatchTest, OwnWriteIsSeen) {
  ASSERT_EQ(watch_->AddRequest(*group_), absl::OkStatus());
  ASSERT_EQ(directory_->RequestFreeze(), absl::OkStatus());
  EXPECT_TRUE(IsReadable());
  const std::vector<GroupWrite> writes = Take();
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].pid, ::getpid());
  EXPECT_EQ(writes[0].group, directory_->path());
  EXPECT_EQ(absl::StrCat(writes[0].group, "/", writes[0].file), RequestFile());
  EXPECT_FALSE(IsReadable());
}

TEST_P(WriteWatchTest, WriterThatHasEndedIsStillNumbered) {
  ASSERT_EQ(watch_->AddRequest(*group_), absl::OkStatus());
  const auto result = RunCommand(
      {"/bin/sh", "-c",
       absl::StrCat("echo $$; echo ",
                    GetParam() == CgroupVersion::kV1 ? "THAWED" : "0", " > ",
                    RequestFile())});
  ASSERT_TRUE(result.ok() && result->exit_status == 0);
  const std::vector<GroupWrite> writes = Take();
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(absl::StrCat(writes[0].pid, "\n"), result->out);
  EXPECT_EQ(DescribeWriter(writes[0]),
            absl::StrCat("process ", writes[0].pid, ", which has ended"));
}

TEST_P(WriteWatchTest, DescriptorFromBeforeTheWatchIsSeen) {
  const int fd = ::open(RequestFile().c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(watch_->AddRequest(*group_), absl::OkStatus());
  const std::string word = GetParam() == CgroupVersion::kV1 ? "THAWED" : "0";
  ASSERT_EQ(::write(fd, word.data(), word.size()),
            static_cast<ssize_t>(word.size()));
  ::close(fd);
  EXPECT_EQ(Take().size(), 1u);
}

TEST_P(WriteWatchTest, MoveIntoTheGroupIsSeen) {
  ASSERT_EQ(watch_->AddMembership(*group_), absl::OkStatus());
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  ASSERT_EQ(directory_->Add(child), absl::OkStatus());
  const std::vector<GroupWrite> writes = Take();
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].file, "cgroup.procs");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_P(WriteWatchTest, TwoWritersAreTwoWrites) {
  ASSERT_EQ(watch_->AddRequest(*group_), absl::OkStatus());
  ASSERT_EQ(directory_->RequestFreeze(), absl::OkStatus());
  const auto result = RunCommand(
      {"/bin/sh", "-c",
       absl::StrCat("echo ", GetParam() == CgroupVersion::kV1 ? "THAWED" : "0",
                    " > ", RequestFile())});
  ASSERT_TRUE(result.ok() && result->exit_status == 0);
  const std::vector<GroupWrite> writes = Take();
  ASSERT_EQ(writes.size(), 2u);
  EXPECT_EQ(writes[0].pid, ::getpid());
  EXPECT_NE(writes[1].pid, ::getpid());
}

TEST_P(WriteWatchTest, WriteToAGroupThatIsGoneIsNoError) {
  ASSERT_EQ(watch_->AddRequest(*group_), absl::OkStatus());
  ASSERT_EQ(directory_->Thaw(), absl::OkStatus());
  directory_.reset();
  EXPECT_TRUE(Take().empty());
}

TEST_P(WriteWatchTest, GroupThatIsGoneIsNotFound) {
  directory_.reset();
  EXPECT_EQ(watch_->AddRequest(*group_).code(), absl::StatusCode::kNotFound);
}

INSTANTIATE_TEST_SUITE_P(Freezers, WriteWatchTest,
                         testing::Values(CgroupVersion::kV1,
                                         CgroupVersion::kV2),
                         [](const testing::TestParamInfo<CgroupVersion>& info) {
                           return std::string(CgroupVersionName(info.param));
                         });

}  // namespace
}  // namespace ckpt::freezer
