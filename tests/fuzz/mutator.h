// Changes a message here and there, so that it stays one: what libFuzzer does
// with bytes mostly ends in the parser.
//
//   Mutator mutator(target, seed);
//   mutator.Mutate(message);
#ifndef CKPT_TESTS_FUZZ_MUTATOR_H_
#define CKPT_TESTS_FUZZ_MUTATOR_H_

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/message.h"
#include "tests/fuzz/target.h"

namespace ckpt::fuzz {

// Thread-compatible.
class Mutator {
 public:
  // Changes bytes without knowing what they are.
  using OnBytes = std::function<void(std::string&)>;

  // `target` is borrowed.
  Mutator(const Target& target, unsigned seed, OnBytes on_bytes)
      : target_(target), random_(seed), on_bytes_(std::move(on_bytes)) {}

  void Mutate(google::protobuf::Message& message);

 private:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  uint64_t Below(uint64_t bound) { return random_() % bound; }
  // Messages in `message`, itself included, but for those in an Any.
  void Collect(Message& message, std::vector<Message*>& all);
  void MutateAny(Message& any);
  void MutateField(Message& message, const Field& field);
  void MutateRepeated(Message& message, const Field& field);
  void SetValue(Message& message, const Field& field);
  // An element of a repeated field, a new one when it is -1.
  void SetElement(Message& message, const Field& field, int index);
  void Fill(Message& parent, Message& made);
  uint64_t Number(uint64_t now);
  std::string Text(const std::string& now);

  const Target& target_;
  std::mt19937_64 random_;
  const OnBytes on_bytes_;
};

}  // namespace ckpt::fuzz

#endif  // CKPT_TESTS_FUZZ_MUTATOR_H_
