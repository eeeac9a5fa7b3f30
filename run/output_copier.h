// Copies what is appended to a file to a descriptor: the job prints to files,
// as a pipe or terminal would lead out of it and could not be dumped, and its
// supervisor shows what it prints.
//
//   OutputCopier copier(path, offset, STDOUT_FILENO);
//   copier.Copy();   // whenever the file may have grown
//
// Not thread-safe.  Borrows the descriptor.
#ifndef CKPT_RUN_OUTPUT_COPIER_H_
#define CKPT_RUN_OUTPUT_COPIER_H_

#include <sys/types.h>

#include <string>

#include "base/unique_fd.h"

namespace ckpt::run {

class OutputCopier {
 public:
  // From `offset` on.  The file need not exist yet.
  OutputCopier(std::string path, off_t offset, int to_fd);

  // Copies all there is.  A file that has become shorter goes on from its new
  // end.  After the reader has gone (EPIPE) nothing is copied any more.
  void Copy();

 private:
  const std::string path_;
  off_t offset_;
  int to_fd_;
  UniqueFd from_;
};

}  // namespace ckpt::run

#endif  // CKPT_RUN_OUTPUT_COPIER_H_
