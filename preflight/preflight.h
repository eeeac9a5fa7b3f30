// "Will this job dump here, and restore there?", asked before anything is
// touched.
//
//   v1::CheckRequest request;
//   request.set_cgroup("job1");
//   request.set_with_needs(true);
//   CKPT_ASSIGN_OR_RETURN(v1::CheckReport here,
//                         Check(request, {.store = &store}));
//   CKPT_RETURN_IF_ERROR(Verdict(here));
//   // At the other node, by an RPC:
//   v1::CheckRequest there;
//   *there.mutable_needs() = here.needs();
//
// An answer is true for the moment in which it is given: the job runs on.
#ifndef CKPT_PREFLIGHT_PREFLIGHT_H_
#define CKPT_PREFLIGHT_PREFLIGHT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "proto/check.pb.h"
#include "store/image_store.h"

namespace ckpt::preflight {

struct Environment {
  const ImageStore* store = nullptr;  // borrowed for the call
  std::string criu;  // what --criu names; "": where it is looked for by itself
  // Looked at between the steps; borrowed for the call, may be null.
  const Cancellation* cancel = nullptr;
};

// What the request asks for: with `needs`, whether a job of that kind can be
// restored here; with `cgroup` or `pid`, whether that job can be dumped; with
// neither, whether this node can dump and restore at all.  That something is in
// the way is no error, but CheckReport.usable.  Changes nothing.  Thread-safe.
//   InvalidArgument     needs and a job at once
//   NotFound            no such cgroup or process; the group is empty
//   FailedPrecondition  the root group; several trees in the group
//   PermissionDenied    the caller may not see what the job has open
//   Cancelled           as it was asked
absl::StatusOr<v1::CheckReport> Check(const v1::CheckRequest& request,
                                      const Environment& environment);

// OK when the report says usable.  Otherwise FailedPrecondition, or Unavailable
// when all that is in the way will pass; the message tells of the first finding
// that counts, and the payload (checkpoint::kCheckReportUrl) has all.
absl::Status Verdict(const v1::CheckReport& report);

}  // namespace ckpt::preflight

#endif  // CKPT_PREFLIGHT_PREFLIGHT_H_
