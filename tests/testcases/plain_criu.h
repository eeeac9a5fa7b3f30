// CRIU's command line, without ckpt: for tests of what tests stand on.
//
//   const PlainCriu criu(spec.criu);
//   RunCommand(criu.Dump(pid, image));
//   WaitUntilGone(PidsOfImage(image), deadline);
//   RunCommand(criu.Restore(image));
#ifndef CKPT_TESTS_TESTCASES_PLAIN_CRIU_H_
#define CKPT_TESTS_TESTCASES_PLAIN_CRIU_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/testcases/workloads.h"

namespace ckpt {

// Thread-compatible.
class PlainCriu {
 public:
  explicit PlainCriu(const CriuNeeds& needs) : needs_(needs) {}

  // $CKPT_CRIU, the one in /opt/ckpt, or "criu".
  static std::string Path();

  // "4.1.1"; an error when there is no CRIU.
  static absl::StatusOr<std::string> Version();

  // Dumps the tree of `pid` into the directory `image`, and kills it unless
  // told to leave it running.  The log is `image`/log.
  std::vector<std::string> Dump(pid_t pid, const std::string& image,
                                bool leave_running = false) const;

  // Restores into the cgroups that the command itself runs in, and ends.
  std::vector<std::string> Restore(const std::string& image) const;

 private:
  std::vector<std::string> Command(std::vector<std::string> words,
                                   const std::string& image) const;

  CriuNeeds needs_;
};

// Pids and thread ids of an image: it has a core-ID.img of each.
std::vector<pid_t> PidsOfImage(const std::string& image);

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_PLAIN_CRIU_H_
