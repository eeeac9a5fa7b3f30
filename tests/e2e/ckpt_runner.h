// Runs the ckpt binary under test, as its user would.
//
//   CkptRunner ckpt;
//   const CommandResult result = ckpt.Run({"dump", "--cgroup", group->path(),
//                                          "--image", "a"});
//   EXPECT_EQ(result.exit_status, 0) << result.err;
#ifndef CKPT_TESTS_E2E_CKPT_RUNNER_H_
#define CKPT_TESTS_E2E_CKPT_RUNNER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/support/job.h"
#include "tests/support/test_dir.h"
#include "tests/testcases/workloads.h"

namespace ckpt {

// Not thread-safe.  Has a store and a journal of its own, removed with it.
class CkptRunner {
 public:
  // Sets CKPT_RUN_DIR for every program that the test starts.
  CkptRunner();

  // Path of the binary.
  static std::string Binary();

  const std::string& store() const { return store_; }
  const TestDir& dir() const { return dir_; }

  // Verb and its words; --store is added for the verbs that take it.  A command
  // that cannot be run or does not end in two minutes is a fatal failure with
  // exit status -1.
  CommandResult Run(std::vector<std::string> words,
                    std::vector<std::string> env = {}) const;

  // argv for starting it by other means.
  std::vector<std::string> CommandLine(std::vector<std::string> words) const;

 private:
  TestDir dir_;
  const std::string store_ = dir_.File("store");
};

// The flags of `ckpt dump` that a workload needs.
std::vector<std::string> DumpFlags(const CriuNeeds& needs);

// A deadline far away for what takes no time: a minute.
absl::Time Soon();

}  // namespace ckpt

#endif  // CKPT_TESTS_E2E_CKPT_RUNNER_H_
