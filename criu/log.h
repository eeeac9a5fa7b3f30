// What CRIU's log says about a failure.  CRIU's replies hold little; nearly all
// detail is in the log.
#ifndef CKPT_CRIU_LOG_H_
#define CKPT_CRIU_LOG_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ckpt::criu {

// The last `count` "Error" lines of a CRIU log, without time stamps, without
// those that CRIU prints on success as well, and without repetition.
std::vector<std::string> LastErrors(absl::string_view log, size_t count);

// A Status for a failed operation, from CRIU's own words: the code by what to
// do next, the lines quoted, and the ckpt option that resolves it where one
// does. Internal when the lines tell nothing better.
absl::Status ExplainFailure(absl::string_view operation, absl::string_view log,
                            absl::string_view reply_message);

// True if the log of a *successful* restore shows that memory was lost: CRIU
// restores zeroes for shared-memory pages that it cannot read.
bool ShowsLostMemory(absl::string_view log);

// True if the log of a restore shows that every task was let go, whatever
// became of CRIU after that.
bool ShowsRelease(absl::string_view log);
inline constexpr int kReleaseLogLevel = 3;  // from this level on it does

}  // namespace ckpt::criu

#endif  // CKPT_CRIU_LOG_H_
