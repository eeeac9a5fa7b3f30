// Writes what arrives of memory pages, in large blocks and by one thread, so
// that those who receive it neither wait for the disk nor for each other.
//
//   BlockWriter writer(dir_fd, {.past_cache = true}, notes);
//   BlockWriter::Stream stream(writer);         // one for each stream
//   CKPT_RETURN_IF_ERROR(stream.Add(head, bytes));
//   CKPT_RETURN_IF_ERROR(stream.Flush());       // all of it is written
//
// Past the page cache (O_DIRECT, open(2)) a gibibyte takes a tenth of the
// processor time that it takes through it, and pushes nobody's memory out; who
// reads it next waits for the disk.  Where the file system cannot do that, and
// for what is not aligned, it goes through the cache.  Nothing is copied.
#ifndef CKPT_TRANSFER_BLOCK_WRITER_H_
#define CKPT_TRANSFER_BLOCK_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/aligned_bytes.h"
#include "base/unique_fd.h"
#include "proto/transfer.pb.h"

namespace ckpt::transfer {

// Writes all of it.  ResourceExhausted, Internal: names the file, and says what
// becomes of what has arrived.
absl::Status WriteBytes(int fd, absl::string_view bytes, uint64_t offset,
                        const std::string& name);

// Thread-safe.
class BlockWriter {
 public:
  // The kernel makes several requests to the disk of it, which works on them at
  // a time.
  static constexpr size_t kBlockBytes = 4 << 20;
  // Less is not worth a hand-over.
  static constexpr size_t kLeastBytes = 64 << 10;

  struct Options {
    bool past_cache = false;
  };
  // What the owner is told.  Begin: a piece is going to be written; an error
  // has it dropped.  End: whether it was.
  struct Notes {
    std::function<absl::Status()> begin;
    std::function<absl::Status(const v1::ArrivedChunk& piece, bool written)>
        end;
  };

  // Borrows the directory.  `notes` are called by several threads.
  BlockWriter(int dir_fd, const Options& options, Notes notes);
  ~BlockWriter();  // after the streams; writes what they have handed over
  BlockWriter(const BlockWriter&) = delete;
  BlockWriter& operator=(const BlockWriter&) = delete;

  // OK, or why the first piece that was not written was not.
  absl::Status status() const;

  class Stream;

 private:
  struct Piece {
    v1::ArrivedChunk head;
    AlignedBytes bytes;
    Stream* stream = nullptr;
  };

  absl::Status HandOver(Piece piece);
  AlignedBytes Recycled();
  void Run();
  // The next of those that wait, and what follows it in its file, as much as
  // one block takes.
  std::vector<Piece> NextBlock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Write(const std::vector<Piece>& pieces);
  // How much of their beginning is written.
  size_t WritePastCache(const std::vector<Piece>& pieces);
  absl::Status OpenFile(int more_flags, UniqueFd& fd);

  const int dir_fd_;
  const Notes notes_;
  // Of the thread.
  bool past_cache_;
  std::string name_;  // of the files that are open
  UniqueFd file_;
  UniqueFd direct_file_;

  mutable absl::Mutex mutex_;
  std::deque<Piece> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<AlignedBytes> recycled_ ABSL_GUARDED_BY(mutex_);
  size_t recycled_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // of the first that failed
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Thread-compatible.
class BlockWriter::Stream {
 public:
  explicit Stream(BlockWriter& writer) : writer_(writer) {}
  ~Stream() { Flush().IgnoreError(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Takes a piece, which `bytes` is all of, to be written soon; waits while too
  // many are waiting.  Leaves others in their place whose memory can be used
  // again.  Errors of what was taken before, by any stream: those of
  // WriteBytes(), and of the notes.
  absl::Status Add(const v1::ArrivedChunk& piece, AlignedBytes& bytes);

  // Waits until all that was taken is written, or has failed.
  absl::Status Flush();

 private:
  friend class BlockWriter;

  BlockWriter& writer_;
  int pending_ = 0;  // pieces; guarded by the writer's mutex
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_BLOCK_WRITER_H_
