// Runs tests/self/self_job.c in groups of its own: starts it, waits for what it
// writes down, ends it and restores it.
//
//   SelfJob job(CgroupVersion::kV2);
//   ASSERT_NO_FATAL_FAILURE(job.Start({"--tree", "--children", "5"}));
//   EXPECT_EQ(job.AwaitLine("call 1 "), "call 1 1 0 restarts 0 image ...");
//   ASSERT_NO_FATAL_FAILURE(job.End());
//   ASSERT_NO_FATAL_FAILURE(job.Restore("self.1"));
#ifndef CKPT_TESTS_SELF_SELF_JOB_RUNNER_H_
#define CKPT_TESTS_SELF_SELF_JOB_RUNNER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/ckpt_runner.h"
#include "tests/support/test_cgroup.h"

namespace ckpt {

// Not thread-safe.  Failures are fatal failures of the test.
class SelfJob {
 public:
  explicit SelfJob(CgroupVersion version);

  // Of the calls of the jobs that are started from now on: "-" is the default
  // one.
  void SetStore(const std::string& store) { store_ = store; }

  // With the words of self_job.c and environment variables; returns when it is
  // ready.  "--wait-for" is added with `held`: each call is
  // made after its Go().
  void Start(std::vector<std::string> words,
             const std::vector<std::string>& env = {}, bool held = false);
  void Go(int call = 1);

  // The next line, after those returned before, that begins with `start`; ""
  // when none comes in a minute, or the job is gone.
  std::string AwaitLine(const std::string& start);

  // The `ckpt self-dump` that works for it, once it is stopped at a fault
  // point; 0 when that does not happen in a minute.
  pid_t AwaitStoppedHelper() const;

  // Kills it and waits until its process ids are free.
  void End();
  // Waits for its end.
  void AwaitEnd();
  // Into its group.
  void Restore(const std::string& image);

  const CkptRunner& ckpt() const { return ckpt_; }
  TestCgroup& group() { return *group_; }
  std::string Image(const std::string& name) const {
    return ckpt_.store() + "/" + name;
  }
  pid_t pid() const { return root_; }
  // The root and its descendants.
  std::vector<pid_t> Tree() const;

 private:
  std::vector<std::string> Lines() const;

  CkptRunner ckpt_;
  const std::string status_path_ = ckpt_.dir().File("status");
  const std::string go_path_ = ckpt_.dir().File("go");
  std::string store_ = ckpt_.store();
  std::unique_ptr<TestCgroup> group_;
  std::vector<pid_t> tree_;
  pid_t root_ = 0;
  size_t seen_ = 0;  // lines
};

}  // namespace ckpt

#endif  // CKPT_TESTS_SELF_SELF_JOB_RUNNER_H_
