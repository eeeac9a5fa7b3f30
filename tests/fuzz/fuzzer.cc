// Drives a target by libFuzzer (tools/fuzz):
//
//   fuzzer --target=push -max_total_time=60 CORPUS...
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "google/protobuf/stubs/logging.h"
#include "google/protobuf/text_format.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/target.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace ckpt::fuzz {
namespace {

const Target* the_target = nullptr;  // set once, never destroyed

constexpr size_t kLongestBytes = 4096;

void MutateBytes(std::string& bytes) {
  const size_t size = std::min(bytes.size(), kLongestBytes);
  bytes.resize(size + 64);
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  bytes.resize(LLVMFuzzerMutate(data, size, bytes.size()));
}

std::string Print(const google::protobuf::Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetExpandAny(true);
  std::string text;
  printer.PrintToString(message, &text);
  return text;
}

size_t Mutate(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  // Now and then what is no message at all.
  if (the_target->input == nullptr || seed % 64 == 0) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  const std::unique_ptr<google::protobuf::Message> message(
      the_target->input->New());
  ParseInto(absl::string_view(reinterpret_cast<const char*>(data), size),
            *message);
  Mutator(*the_target, seed, &MutateBytes).Mutate(*message);
  const std::string text = Print(*message);
  if (text.size() > max_size) return size;
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

}  // namespace
}  // namespace ckpt::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  // It writes a line for each string that is not UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  for (int i = 1; i < *argc; ++i) {
    absl::string_view word = (*argv)[i];
    if (!absl::ConsumePrefix(&word, "--target=")) continue;
    auto target = ckpt::fuzz::FindTarget(word);
    if (target.has_value()) {
      ckpt::fuzz::the_target = new ckpt::fuzz::Target(*std::move(target));
    }
  }
  if (ckpt::fuzz::the_target != nullptr) return 0;
  std::fputs("say which: --target=NAME\n", stderr);
  std::exit(64);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::fuzz::the_target->run(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned seed) {
  return ckpt::fuzz::Mutate(data, size, max_size, seed);
}
