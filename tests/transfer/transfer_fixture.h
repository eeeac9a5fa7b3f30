// Two stores and a ckptd that has one of them, a ckpt that has the other, and
// images without a job.
//
//   TEST_F(TransferTest, ...) {
//     MakeImage("job", 64, "noise");
//     ASSERT_NO_FATAL_FAILURE(StartAgent());
//     EXPECT_EQ(Ckpt({"push", "job", "--to", node()}).exit_status, 0);
//     ExpectArrived("job");
//   }
#ifndef CKPT_TESTS_TRANSFER_TRANSFER_FIXTURE_H_
#define CKPT_TESTS_TRANSFER_TRANSFER_FIXTURE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "store/image_store.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"

namespace ckpt {

class TransferTest : public testing::Test {
 protected:
  // In the ckpt's store; see tests/transfer/make_image.cc.
  void MakeImage(const std::string& name, int mebibytes,
                 const std::string& kind);

  // Returns when it takes requests.  CKPT_FAULT=`fault` is for it alone.
  void StartAgent(const std::string& fault = "",
                  const std::vector<std::string>& more = {});
  void KillAgent();

  // A ckpt with --store HERE.
  std::vector<std::string> Words(std::vector<std::string> words) const;
  CommandResult Ckpt(const std::vector<std::string>& words) const;
  // One with another store.
  static CommandResult CkptAt(const std::string& store,
                              std::vector<std::string> words);

  // The agent's store has the image, bit by bit that of the ckpt's store.
  void ExpectArrived(const std::string& name) const;
  // Whether part of the image is there, and nobody receives it.
  bool HasArrivedInPart(const std::string& name) const;
  // Waits for that; false: not in a minute.
  bool AwaitInPart(const std::string& name) const;

  // The most memory that the process has had, without that of files.
  static uint64_t PeakRssBytes(pid_t pid);

  std::string node() const { return "unix:" + socket_; }
  std::string AgentLog() { return agent_->ReadErrors(); }

  CkptRunner ckpt_;  // for the run directory
  const std::string here_ = ckpt_.dir().File("here");
  std::string there_ = ckpt_.dir().File("there");
  const std::string socket_ = ckpt_.dir().File("ckptd.sock");
  std::unique_ptr<RunningCkpt> agent_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_TRANSFER_TRANSFER_FIXTURE_H_
