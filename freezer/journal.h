// What the holders of groups have written down: one small file for each, so
// that the next ckpt finds out who holds a group, and can give it back if its
// holder died together with its guardian.
//
//   Journal& journal = Journal::Default();
//   CKPT_ASSIGN_OR_RETURN(auto file, journal.Write(Journal::Kind::kOperation,
//                                                  entry));
//   ...                       // the file is there, and locked
//   file.reset();             // the file is gone
//
// An entry's file is named by its group's hierarchy and inode, "v2-4711", or
// "v2-4711.lease" for a lease (freezer/group_lease.h).  It appears whole and
// locked (an open-file-description lock, fcntl(2)), and the lock is held by the
// owner and by the guardian that inherits the descriptor, as long as one of
// them lives.  So an entry that is not locked is abandoned: no pid has to be
// trusted.  Who writes or removes an operation's entry holds the group's lock.
//
// The directory is /run/ckpt/journal, or "journal" in $CKPT_RUN_DIR, for root
// alone; it need not outlive the kernel, as groups do not.
#ifndef CKPT_FREEZER_JOURNAL_H_
#define CKPT_FREEZER_JOURNAL_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/unique_fd.h"
#include "freezer/cgroup.h"
#include "proto/journal.pb.h"

namespace ckpt::freezer {

// Entries of a higher version are left alone.
inline constexpr uint32_t kJournalVersion = 2;

// An entry that this process owns; it is removed with the object.
//
// Not thread-safe.
class JournalFile {
 public:
  JournalFile(UniqueFd dir, std::string name, UniqueFd file,
              v1::JournalEntry entry)
      : dir_(std::move(dir)),
        name_(std::move(name)),
        file_(std::move(file)),
        entry_(std::move(entry)) {}
  ~JournalFile() { Remove(); }
  JournalFile(const JournalFile&) = delete;
  JournalFile& operator=(const JournalFile&) = delete;

  const v1::JournalEntry& entry() const { return entry_; }

  // For steps that remove or publish it in our stead: descriptor and name.
  int dir_fd() const { return dir_.get(); }
  const std::string& name() const { return name_; }
  // Whoever inherits it owns the entry, too.
  int fd() const { return file_.get(); }

  // Renames it, in the place of what has that name.
  absl::Status Publish(const std::string& name);
  // Removes the file, if it is still the one of this name.
  void Remove();
  // Leaves the file to others.
  void Forget() { file_.Reset(); }

 private:
  const UniqueFd dir_;
  std::string name_;
  UniqueFd file_;
  const v1::JournalEntry entry_;
};

// Thread-safe.
class Journal {
 public:
  enum class Kind { kOperation, kLease };

  explicit Journal(std::string directory) : directory_(std::move(directory)) {}
  // The machine's; never destroyed.
  static Journal& Default();

  // Puts an entry in the place of the one of that kind and group, if any.
  // PermissionDenied, ResourceExhausted, ...: nothing was written.
  absl::StatusOr<std::unique_ptr<JournalFile>> Write(
      Kind kind, const v1::JournalEntry& entry) const;
  // The same under a name of its own, to be renamed to FileName() later.
  absl::StatusOr<std::unique_ptr<JournalFile>> Prepare(
      const v1::JournalEntry& entry) const;

  // The entry of a group, with hold.abandoned set as it is.  None where there
  // is none, or none that this kernel, ckpt and user can read.
  absl::optional<v1::JournalEntry> Find(Kind kind, const Cgroup& group) const;

  // Every file: its name and, if it is an entry that can be parsed, that.
  struct Item {
    std::string name;
    bool parsed = false;
    v1::JournalEntry entry;
  };
  absl::StatusOr<std::vector<Item>> List() const;

  // Makes an abandoned entry this process's own.  Unavailable when it has an
  // owner; NotFound when it is gone.
  absl::StatusOr<std::unique_ptr<JournalFile>> TakeOver(
      const std::string& name) const;

  // Removes a group's entry, whoever owns it; the caller holds the group's
  // lock.
  void Erase(Kind kind, const Cgroup& group) const;

  static std::string FileName(Kind kind, const v1::JournalEntry& entry);
  static std::string FileName(Kind kind, const Cgroup& group);

 private:
  absl::StatusOr<UniqueFd> OpenOrMake() const;

  const std::string directory_;
};

// An entry for `group` by this process, now.  `ended_if_exists` as in the
// entry; with one, a ckpt that would not look for the file leaves it alone.
v1::JournalEntry MakeJournalEntry(const Cgroup& group, v1::HoldPurpose purpose,
                                  bool give_back_frozen,
                                  const std::string& ended_if_exists = "");

// Of this start of the kernel, and of a version that we know.
bool IsValid(const v1::JournalEntry& entry);

}  // namespace ckpt::freezer

#endif  // CKPT_FREEZER_JOURNAL_H_
