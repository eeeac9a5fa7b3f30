// What CRIU is asked for at a restore.
//
//   arguments.options = MergeOptions(manifest.options(), request.criu());
#ifndef CKPT_RESTORE_MERGED_OPTIONS_H_
#define CKPT_RESTORE_MERGED_OPTIONS_H_

#include "proto/checkpoint.pb.h"
#include "proto/image.pb.h"

namespace ckpt::restore {

// The options that the dump was made with, and those of the request.
v1::CriuOptions MergeOptions(const v1::ManifestOptions& image,
                             const v1::CriuOptions& asked);

}  // namespace ckpt::restore

#endif  // CKPT_RESTORE_MERGED_OPTIONS_H_
