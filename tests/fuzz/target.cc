#include "tests/fuzz/target.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "store/arriving_image.h"
#include "store/image_store.h"
#include "store/layout.h"
#include "transfer/chunk.h"

namespace ckpt::fuzz {
namespace {

constexpr char kStore[] = "store";

std::vector<std::string> NamesIn(const std::string& path) {
  const auto names = ListDirectory(path);
  return names.ok() ? *names : std::vector<std::string>();
}

void RequirePartOfImage(const std::string& directory) {
  for (const std::string& name : NamesIn(directory)) {
    struct stat about = {};
    const std::string path = absl::StrCat(directory, "/", name);
    Require(::lstat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode),
            absl::StrCat(path, " is a plain file"));
    Require(IsImageFileName(name) || name == kManifestFile ||
                absl::StartsWith(name, kArrivingOwnPrefix),
            absl::StrCat(path, " has the name of a file of an image"));
    Require(static_cast<uint64_t>(about.st_size) <= transfer::kMaxFileBytes,
            absl::StrCat(path, " is within the bounds"));
  }
}

}  // namespace

std::vector<Target> AllTargets() {
  return {ApiTarget(),    PushTarget(),  DataTarget(),   PullTarget(),
          PolicyTarget(), ImageTarget(), JournalTarget()};
}

absl::optional<Target> FindTarget(absl::string_view name) {
  for (Target& target : AllTargets()) {
    if (target.name == name) return std::move(target);
  }
  return absl::nullopt;
}

void Require(bool holds, absl::string_view property) {
  if (holds) return;
  std::fprintf(stderr, "BROKEN: %s\n", std::string(property).c_str());
  std::abort();
}

void ParseInto(absl::string_view text, google::protobuf::Message& message) {
  class Quiet : public google::protobuf::io::ErrorCollector {
    void AddError(int, int, const std::string&) override {}
  };
  Quiet quiet;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&quiet);
  parser.AllowPartialMessage(true);
  parser.SetRecursionLimit(64);
  (void)parser.ParseFromString(std::string(text), &message);
}

Scratch::Scratch() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it
  const char* const below = std::getenv("CKPT_FUZZ_SCRATCH");
  path_ = absl::StrCat(below != nullptr ? below : "/tmp", "/ckpt-fuzz-XXXXXX");
  Require(::mkdtemp(path_.data()) != nullptr, "a directory can be made");
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Scratch::RequireCleanStore() const {
  for (const std::string& name : NamesIn(path_)) {
    Require(name == kStore, absl::StrCat("nothing but the store: ", name));
  }
  const std::string directory = absl::StrCat(path_, "/", kStore);
  const ImageStore store(directory);
  for (const std::string& name : NamesIn(directory)) {
    if (name == ".migrations") continue;
    if (absl::StartsWith(name, kArrivingPrefix)) {
      RequirePartOfImage(absl::StrCat(directory, "/", name));
      continue;
    }
    const auto image = store.Open(name);
    Require(image.ok(), absl::StrCat("an image that was taken can be opened: ",
                                     image.status().ToString()));
    const absl::Status verified = image->Verify();
    Require(verified.ok(), absl::StrCat("an image that was taken is whole: ",
                                        verified.ToString()));
  }
}

}  // namespace ckpt::fuzz
