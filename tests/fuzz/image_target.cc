// Images as they lie in a store: the manifest, and what CRIU wrote.
#include <fcntl.h>
#include <sys/stat.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "store/criu_images.h"
#include "store/criu_pagemap.h"
#include "store/dump_stats.h"
#include "store/image_store.h"
#include "tests/fuzz/files.h"
#include "tests/fuzz/inputs.pb.h"
#include "tests/fuzz/seal.h"
#include "tests/fuzz/target.h"

namespace ckpt::fuzz {
namespace {

void Run(absl::string_view text) {
  const auto input = ParseInput<FilesInput>(text);
  const Scratch scratch;
  const ImageStore store(scratch.path() + "/store");
  const std::string directory = store.directory() + "/job";
  Require(::mkdir(store.directory().c_str(), 0700) == 0 &&
              ::mkdir(directory.c_str(), 0700) == 0,
          "a directory can be made");
  WriteFiles(directory, input);
  if (input.has_manifest()) {
    WriteFile(directory, "ckpt-manifest.pb",
              SealedManifest(input.manifest(), /*seal=*/true, directory));
  }
  const auto image = store.Open("job");
  if (image.ok()) image->Verify().IgnoreError();
  const auto dir = OpenDirectory(directory);
  Require(dir.ok(), "the directory can be opened");
  ReadContents(dir->get()).status().IgnoreError();
  CheckComplete(dir->get()).IgnoreError();
  ReadDumpStats(dir->get()).status().IgnoreError();
  ReadPageMap(dir->get(), "pagemap-7.img").status().IgnoreError();
  FindPage(dir->get(), "pagemap-7.img", 4096).status().IgnoreError();
  FixPeriodicTimerfds(dir->get()).status().IgnoreError();
}

}  // namespace

Target ImageTarget() {
  return {.name = "image",
          .run = &Run,
          .input = &FilesInput::default_instance(),
          .words = CriuWords(),
          .type_of_any = &TypeOfFile};
}

}  // namespace ckpt::fuzz
