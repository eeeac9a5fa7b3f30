#include "store/dump_stats.h"

#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/status.h"
#include "store/criu_image_file.h"
#include "store/criu_images.pb.h"
#include "store/layout.h"

namespace ckpt {

absl::StatusOr<DumpStats> ReadDumpStats(int dir_fd) {
  CKPT_ASSIGN_OR_RETURN(
      const CriuImageFile file,
      CriuImageFile::ReadIfThere(dir_fd, kDumpStatsFile, CriuMagic::kStats));
  if (!file.there()) {
    return absl::NotFoundError("CRIU has left no figures (stats-dump)");
  }
  CKPT_ASSIGN_OR_RETURN(const criu_images::Stats entry,
                        file.ParseOne<criu_images::Stats>());
  const criu_images::DumpStatsEntry& dump = entry.dump();
  DumpStats stats;
  stats.freezing = absl::Microseconds(dump.freezing_time());
  stats.frozen = absl::Microseconds(dump.frozen_time());
  stats.memdump = absl::Microseconds(dump.memdump_time());
  stats.memwrite = absl::Microseconds(dump.memwrite_time());
  stats.pages_scanned = dump.pages_scanned();
  stats.pages_skipped_parent = dump.pages_skipped_parent();
  stats.pages_written = dump.pages_written();
  stats.pages_lazy = dump.pages_lazy();
  return stats;
}

absl::Status DeleteDumpStats(int dir_fd) {
  if (::unlinkat(dir_fd, kDumpStatsFile, 0) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "remove", kDumpStatsFile);
}

}  // namespace ckpt
