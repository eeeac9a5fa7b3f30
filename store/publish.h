// The step in which a hidden directory becomes an image.
#ifndef CKPT_STORE_PUBLISH_H_
#define CKPT_STORE_PUBLISH_H_

#include <string>

#include "absl/status/status.h"

namespace ckpt {

struct PublishPlace {
  int parent_fd;  // of the directory that both names are in
  std::string parent_path;
  std::string hidden_name;
  std::string final_name;
};

// Gives the directory its final name, durably.  On error it has its hidden name
// again; or, when that failed, too, `*is_there` is set.
// AlreadyExists: that name has been taken.  Thread-safe.
//
// Fault points: store.before_rename, store.after_rename.
absl::Status PublishDirectory(const PublishPlace& place, bool* is_there);

}  // namespace ckpt

#endif  // CKPT_STORE_PUBLISH_H_
