#include "migrate/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "migrate/states.h"

namespace ckpt::migrate {
namespace {

constexpr char kRecordSuffix[] = ".migration";
constexpr char kDecisionSuffix[] = ".decision";
constexpr char kTemporarySuffix[] = ".new";
constexpr absl::Duration kLockPoll = absl::Milliseconds(10);
// A migration that is asked after again and again tells so once more.
constexpr int kMaxSteps = 200;

absl::Status CheckId(const std::string& id) {
  return IsId(id) ? absl::OkStatus()
                  : absl::InvalidArgumentError(
                        absl::StrCat("'", id, "' is no id of a migration"));
}

std::string RecordName(const std::string& id) {
  return absl::StrCat(id, kRecordSuffix);
}

void AddStep(v1::MigrationRecord& record, absl::string_view why) {
  if (record.steps_size() >= kMaxSteps) {
    // What brought it into another state stays as long as anything else can go.
    int gone = record.steps_size() / 2;
    for (int i = 1; i < record.steps_size(); ++i) {
      if (record.steps(i).state() != record.steps(i - 1).state()) continue;
      gone = i;
      break;
    }
    record.mutable_steps()->DeleteSubrange(gone, 1);
  }
  v1::MigrationStep& step = *record.add_steps();
  step.set_unix_ns(absl::GetCurrentTimeNanos());
  step.set_state(record.state());
  step.set_why(std::string(why));
}

}  // namespace

absl::Status Advance(Journal& journal, v1::MigrationRecord& record,
                     v1::MigrationState next, absl::string_view why) {
  CKPT_RETURN_IF_ERROR(CheckTransition(record.state(), next));
  v1::MigrationRecord changed = record;
  changed.set_state(next);
  AddStep(changed, why);
  CKPT_RETURN_IF_ERROR(journal.Save(changed));
  record = std::move(changed);
  return absl::OkStatus();
}

absl::Status AdvanceAnyway(Journal& journal, v1::MigrationRecord& record,
                           v1::MigrationState next, absl::string_view why) {
  CKPT_RETURN_IF_ERROR(CheckTransition(record.state(), next));
  record.set_state(next);
  AddStep(record, why);
  return journal.Save(record);
}

void Note(Journal& journal, v1::MigrationRecord& record,
          absl::string_view why) {
  const int count = record.steps_size();
  if (count > 0 && record.steps(count - 1).why() == why) return;
  AddStep(record, why);
  (void)journal.Save(record);
}

absl::StatusOr<std::unique_ptr<FileJournal>> FileJournal::Open(
    const std::string& directory, absl::Duration patience) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoToStatus(errno, "make directory", directory);
  }
  CKPT_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory(directory));
  CKPT_ASSIGN_OR_RETURN(const UniqueFd parent,
                        OpenDirectory(directory + "/.."));
  CKPT_RETURN_IF_ERROR(Fsync(parent.get(), directory + "/.."));
  const absl::Time limit = Clock::Real().Now() + patience;
  while (::flock(dir.get(), LOCK_EX | LOCK_NB) != 0) {
    if (Clock::Real().Now() < limit) {
      Clock::Real().Sleep(kLockPoll);
      continue;
    }
    return absl::UnavailableError(
        absl::StrCat("another ckptd has the journal of migrations ", directory,
                     "; end it first; nothing was done"));
  }
  std::unique_ptr<FileJournal> journal(
      new FileJournal(directory, std::move(dir)));
  journal->RemoveLeftovers();
  return journal;
}

void FileJournal::RemoveLeftovers() {
  const auto names = ListDirectoryAt(dir_.get(), ".");
  if (!names.ok()) return;
  std::set<std::string> ids;
  for (absl::string_view name : *names) {
    if (absl::ConsumeSuffix(&name, kRecordSuffix)) ids.emplace(name);
  }
  for (const std::string& name : *names) {
    absl::string_view of = name;
    bool is_left = absl::EndsWith(name, kTemporarySuffix);
    if (absl::ConsumeSuffix(&of, kDecisionSuffix)) {
      is_left = ids.count(std::string(of.substr(0, of.rfind('.')))) == 0;
    }
    if (is_left) (void)::unlinkat(dir_.get(), name.c_str(), 0);
  }
}

absl::Status FileJournal::Write(const std::string& name,
                                const std::string& bytes) {
  const std::string temporary = absl::StrCat(name, kTemporarySuffix);
  {
    CKPT_ASSIGN_OR_RETURN(
        const UniqueFd file,
        OpenAt(dir_.get(), temporary, O_WRONLY | O_CREAT | O_TRUNC));
    CKPT_RETURN_IF_ERROR(WriteAll(file.get(), bytes, temporary));
    CKPT_RETURN_IF_ERROR(Fsync(file.get(), temporary));
  }
  if (::renameat(dir_.get(), temporary.c_str(), dir_.get(), name.c_str()) !=
      0) {
    return ErrnoToStatus(errno, "rename", temporary);
  }
  return Fsync(dir_.get(), directory_);
}

absl::Status FileJournal::Save(const v1::MigrationRecord& record) {
  CKPT_RETURN_IF_ERROR(CheckId(record.id()));
  return Write(RecordName(record.id()), record.SerializeAsString());
}

absl::StatusOr<v1::MigrationRecord> FileJournal::Find(const std::string& id) {
  CKPT_RETURN_IF_ERROR(CheckId(id));
  CKPT_ASSIGN_OR_RETURN(const std::string bytes,
                        ReadFileAt(dir_.get(), RecordName(id)));
  v1::MigrationRecord record;
  if (!record.ParseFromString(bytes) || record.id() != id) {
    return absl::DataLossError(absl::StrCat("the journal of migration ", id,
                                            " in ", directory_, " is damaged"));
  }
  if (record.format_version() > kRecordVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the journal of migration ", id, " was written by a newer ckptd"));
  }
  return record;
}

absl::StatusOr<std::vector<v1::MigrationRecord>> FileJournal::Load() {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectoryAt(dir_.get(), "."));
  std::vector<v1::MigrationRecord> records;
  for (const std::string& name : names) {
    absl::string_view id = name;
    if (!absl::ConsumeSuffix(&id, kRecordSuffix)) continue;
    auto record = Find(std::string(id));
    if (record.ok()) records.push_back(*std::move(record));
  }
  return records;
}

absl::Status FileJournal::Remove(const std::string& id) {
  const auto record = Find(id);
  if (absl::IsNotFound(record.status())) return absl::OkStatus();
  CKPT_RETURN_IF_ERROR(record.status());
  // The decision last: without the record nobody looks for it, as no other
  // migration has its generation.
  for (const std::string& name : {RecordName(id), DecisionName(*record)}) {
    if (::unlinkat(dir_.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      return ErrnoToStatus(errno, "remove", name);
    }
    CKPT_RETURN_IF_ERROR(Fsync(dir_.get(), directory_));
  }
  return absl::OkStatus();
}

std::string FileJournal::DecisionName(const v1::MigrationRecord& record) {
  return absl::StrCat(record.id(), ".", record.generation(), kDecisionSuffix);
}

absl::Status FileJournal::Decide(const v1::MigrationRecord& record) {
  CKPT_RETURN_IF_ERROR(CheckId(record.id()));
  const std::string name = DecisionName(record);
  absl::Status written = Write(name, record.generation());
  if (written.ok()) return written;
  // Perhaps it is there, but not for certain on the disk.  Nobody was told of
  // it yet, so it can be taken back.
  if (::unlinkat(dir_.get(), name.c_str(), 0) == 0) {
    (void)Fsync(dir_.get(), directory_);
  }
  return written;
}

absl::StatusOr<bool> FileJournal::IsDecided(const v1::MigrationRecord& record) {
  const auto bytes = ReadFileAt(dir_.get(), DecisionName(record));
  if (absl::IsNotFound(bytes.status())) return false;
  CKPT_RETURN_IF_ERROR(bytes.status());
  return *bytes == record.generation();
}

}  // namespace ckpt::migrate
