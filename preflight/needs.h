// What a job will need at the node that it is to be restored at.
#ifndef CKPT_PREFLIGHT_NEEDS_H_
#define CKPT_PREFLIGHT_NEEDS_H_

#include <string>

#include "base/proc.h"
#include "checkpoint/job.h"
#include "checkpoint/job_survey.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::preflight {

// From what was seen of the job; reads the build-ids of what it maps.  `criu`:
// the version here, or "".
v1::JobNeeds DescribeNeeds(const checkpoint::Job& job,
                           const checkpoint::JobSurvey& survey, ProcFs& proc,
                           const v1::CriuOptions& options,
                           const std::string& criu);

}  // namespace ckpt::preflight

#endif  // CKPT_PREFLIGHT_NEEDS_H_
