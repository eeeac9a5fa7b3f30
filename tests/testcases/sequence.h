// Numbered records through pipes and sockets: no byte may be lost, doubled or
// moved by a dump and a restore.
//
//   SequenceWriter out(fd, /*seed=*/1);       // one end
//   out.Write(workload, 128);
//   SequenceReader in(other_fd, /*seed=*/1);  // the other end
//   in.Read(workload, 16);                    // 112 are in flight now
#ifndef CKPT_TESTS_TESTCASES_SEQUENCE_H_
#define CKPT_TESTS_TESTCASES_SEQUENCE_H_

#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "tests/testcases/exact_io.h"
#include "tests/testcases/pattern.h"
#include "tests/testcases/workload.h"

namespace ckpt {

// 64 bytes, all of them a function of seed and number.
struct SequenceRecord {
  uint64_t number = 0;
  uint64_t words[7] = {};
};

inline SequenceRecord MakeSequenceRecord(uint64_t seed, uint64_t number) {
  SequenceRecord record = {number, {}};
  for (uint64_t i = 0; i < 7; ++i) record.words[i] = Mix(seed + i, number);
  return record;
}

class SequenceWriter {
 public:
  SequenceWriter(int fd, uint64_t seed) : fd_(fd), seed_(seed) {}

  void Write(Workload& workload, int count) {
    for (; count > 0; --count) {
      const SequenceRecord record = MakeSequenceRecord(seed_, next_);
      if (!WriteExactly(fd_, &record, sizeof record)) {
        workload.Fail("stream %lu: cannot write record %lu: errno %d", seed_,
                      next_, errno);
        return;
      }
      ++next_;
    }
  }

 private:
  int fd_;
  uint64_t seed_;
  uint64_t next_ = 0;
};

class SequenceReader {
 public:
  SequenceReader(int fd, uint64_t seed) : fd_(fd), seed_(seed) {}

  // False when the stream is broken.
  bool Read(Workload& workload, int count) {
    for (; count > 0; --count) {
      SequenceRecord record;
      if (!ReadExactly(fd_, &record, sizeof record)) {
        workload.Fail("stream %lu ended before record %lu: errno %d", seed_,
                      next_, errno);
        return false;
      }
      const SequenceRecord expected = MakeSequenceRecord(seed_, next_);
      if (record.number != expected.number) {
        workload.Fail("stream %lu: record %lu came instead of %lu", seed_,
                      record.number, expected.number);
      }
      for (int i = 0; i < 7; ++i) {
        if (record.words[i] != expected.words[i]) {
          workload.Fail("stream %lu: record %lu is damaged", seed_, next_);
        }
      }
      next_ = record.number + 1;
    }
    return true;
  }

 private:
  int fd_;
  uint64_t seed_;
  uint64_t next_ = 0;
};

// The far end of a conversation, for a child: checks records of `seed` from
// `in` and sends as many of `seed + 100` to `out`, in small groups.
[[noreturn]] inline void AnswerSequence(Workload& workload, int in, int out,
                                        uint64_t seed) {
  SequenceReader reader(in, seed);
  SequenceWriter writer(out, seed + 100);
  while (reader.Read(workload, 4)) writer.Write(workload, 4);
  ::_exit(1);
}

// The near end: keeps `kInFlight` records under way all the time.
class Conversation {
 public:
  static constexpr int kInFlight = 128;  // 8 KiB
  static constexpr int kPerRound = 16;

  Conversation(Workload& workload, int in, int out, uint64_t seed)
      : reader_(in, seed + 100), writer_(out, seed) {
    writer_.Write(workload, kInFlight);
  }

  void Round(Workload& workload) {
    if (reader_.Read(workload, kPerRound)) {
      writer_.Write(workload, kPerRound);
    }
  }

 private:
  SequenceReader reader_;
  SequenceWriter writer_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_SEQUENCE_H_
