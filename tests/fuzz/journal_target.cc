// What ckptd has written down and reads back after a crash: of migrations, of
// operations, and of what has arrived.
#include <sys/stat.h>

#include <string>

#include "agent/operation_log.h"
#include "base/file.h"
#include "migrate/journal.h"
#include "tests/fuzz/files.h"
#include "tests/fuzz/inputs.pb.h"
#include "tests/fuzz/target.h"
#include "transfer/arrival_log.h"

namespace ckpt::fuzz {
namespace {

void Run(absl::string_view text) {
  const auto input = ParseInput<FilesInput>(text);
  const Scratch scratch;
  WriteFiles(scratch.path(), input);

  const auto journal = migrate::FileJournal::Open(scratch.path());
  Require(journal.ok(), "the journal can be opened");
  const auto records = (*journal)->Load();
  Require(records.ok(), "what cannot be read is left out");
  for (const v1::MigrationRecord& record : *records) {
    Require((*journal)->Find(record.id()).ok(), "what is listed is found");
    (*journal)->IsDecided(record).status().IgnoreError();
    Require((*journal)->Remove(record.id()).ok(), "what is found can go");
  }
  agent::FileOperationLog(scratch.path()).Load().status().IgnoreError();

  const auto dir = OpenDirectory(scratch.path());
  Require(dir.ok(), "the directory can be opened");
  transfer::ArrivalLog log(dir->get());
  const auto found = log.Load();
  if (!found.ok() || !found->has_value()) return;
  v1::ArrivedChunk chunk;
  chunk.set_file("pages-1.img");
  chunk.set_length(1);
  Require(log.Add(chunk).ok(), "a record that was read can be gone on with");
  Require(log.Load().ok(), "and be read again");
}

}  // namespace

Target JournalTarget() {
  return {.name = "journal",
          .run = &Run,
          .input = &FilesInput::default_instance(),
          .words = {"a.migration", "a.decision", "a.pb", ".arrival-record",
                    "pages-1.img", "a", ""}};
}

}  // namespace ckpt::fuzz
