// What is fuzzed: functions that take any bytes, and end the program when they
// find a property broken.
//
//   const Target target = *FindTarget("push");
//   target.run(bytes);
//
// tests/fuzz/fuzzer.cc drives them by libFuzzer, replay_test.cc runs all that
// is in corpus/ once.
#ifndef CKPT_TESTS_FUZZ_TARGET_H_
#define CKPT_TESTS_FUZZ_TARGET_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "google/protobuf/message.h"

namespace ckpt::fuzz {

struct Target {
  std::string name;  // that of its directory in corpus/
  std::function<void(absl::string_view)> run;
  // Its input as a message, written as text; null: any bytes.
  const google::protobuf::Message* input = nullptr;
  // Strings that mean something in there.
  std::vector<std::string> words = {};
  // The type of an Any in that message; null: not known.
  std::function<const google::protobuf::Message*(
      const google::protobuf::Message& parent)>
      type_of_any = nullptr;
};

Target ApiTarget();
Target PushTarget();
Target DataTarget();
Target PullTarget();
Target PolicyTarget();
Target ImageTarget();
Target JournalTarget();

std::vector<Target> AllTargets();
absl::optional<Target> FindTarget(absl::string_view name);

// Ends the program with a message unless `holds`.
void Require(bool holds, absl::string_view property);

// Whatever of the text is right.
void ParseInto(absl::string_view text, google::protobuf::Message& message);
template <typename Input>
Input ParseInput(absl::string_view text) {
  Input input;
  ParseInto(text, input);
  return input;
}

// A directory for one input, removed at the end: below $CKPT_FUZZ_SCRATCH, or
// where tests have theirs.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  // Requires that nothing is in it but the store, and in the store nothing but
  // whole images and what has arrived of others.
  void RequireCleanStore() const;

 private:
  std::string path_;
};

}  // namespace ckpt::fuzz

#endif  // CKPT_TESTS_FUZZ_TARGET_H_
