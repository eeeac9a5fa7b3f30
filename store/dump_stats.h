// CRIU's own figures about a dump.
//
//   CKPT_ASSIGN_OR_RETURN(const DumpStats stats, ReadDumpStats(dir_fd));
//   CKPT_RETURN_IF_ERROR(DeleteDumpStats(dir_fd));
//
// CRIU writes them (file stats-dump) when the dump is over, which is after the
// commit, into the directory that it works in: the image's, unless it was given
// another.  So they are no part of the image: a manifest never lists the file,
// and Verify() overlooks it.
#ifndef CKPT_STORE_DUMP_STATS_H_
#define CKPT_STORE_DUMP_STATS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ckpt {

struct DumpStats {
  absl::Duration freezing;  // stopping the tasks
  absl::Duration frozen;    // the tasks stood still, as CRIU sees it
  absl::Duration memdump;   // taking the pages from the tasks ...
  absl::Duration memwrite;  // ... and writing them
  uint64_t pages_scanned = 0;
  uint64_t pages_skipped_parent = 0;
  uint64_t pages_written = 0;  // of 4096 bytes
  uint64_t pages_lazy = 0;
};

// NotFound: CRIU has not written them (yet).  DataLoss: the file is damaged.
// Thread-safe.
absl::StatusOr<DumpStats> ReadDumpStats(int dir_fd);

// Removes the file; OK if there is none.  Thread-safe.
absl::Status DeleteDumpStats(int dir_fd);

}  // namespace ckpt

#endif  // CKPT_STORE_DUMP_STATS_H_
