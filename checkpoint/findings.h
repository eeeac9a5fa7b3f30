// A report of findings as the error of what is refused for them.
#ifndef CKPT_CHECKPOINT_FINDINGS_H_
#define CKPT_CHECKPOINT_FINDINGS_H_

#include <vector>

#include "absl/status/status.h"
#include "proto/check.pb.h"

namespace ckpt::checkpoint {

// Type of the error payload that holds a serialized v1::CheckReport.
inline constexpr char kCheckReportUrl[] =
    "type.googleapis.com/ckpt.v1.CheckReport";

// What is in the way of anything.
bool IsInTheWay(const v1::CheckFinding& finding);

// A report of them; usable unless one is in the way.
v1::CheckReport MakeReport(std::vector<v1::CheckFinding> findings);

// OK when report.usable.  Otherwise FailedPrecondition, or Unavailable when all
// that is in the way will pass, with the report (without what is OK and without
// needs) as a payload.  The message tells of the first finding that counts.
absl::Status ToStatus(const v1::CheckReport& report);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_FINDINGS_H_
