// The images of one job: NAME.1, NAME.2 ... in the store, the highest the
// newest.
//
//   CKPT_ASSIGN_OR_RETURN(const std::vector<JobImage> images,
//                         ListJobImages(store, "render"));
//
// Thread-safe.
#ifndef CKPT_RUN_JOB_IMAGES_H_
#define CKPT_RUN_JOB_IMAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/image.pb.h"
#include "store/image_store.h"

namespace ckpt::run {

struct JobImage {
  int32_t number = 0;
  std::string name;
  absl::Status status;    // why its manifest cannot be read; OK normally
  v1::Manifest manifest;  // empty unless status is OK
  bool pinned = false;
};

// Oldest first.  Errors as ImageStore::List().
absl::StatusOr<std::vector<JobImage>> ListJobImages(const ImageStore& store,
                                                    const std::string& job);

// "render.7"
std::string JobImageName(const std::string& job, int32_t number);

}  // namespace ckpt::run

#endif  // CKPT_RUN_JOB_IMAGES_H_
