// The journal of a node of losses_world.h: a disk that is a variable, whose
// node may die before and after each write.
#ifndef CKPT_MIGRATE_LOSSES_JOURNAL_H_
#define CKPT_MIGRATE_LOSSES_JOURNAL_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/status.h"
#include "migrate/journal.h"
#include "proto/migration.pb.h"

namespace ckpt::migrate {

// What a node has on its disk.
struct LossesDisk {
  absl::optional<v1::MigrationRecord> record;
  bool decided = false;
  std::vector<v1::MigrationRecord> Records() const {
    if (!record.has_value()) return {};
    return {*record};
  }
};

class LossesJournal : public Journal {
 public:
  struct Node {
    std::function<bool()> step;           // false: it is dead
    std::function<bool()> is_up;          // the same, and no step
    std::function<absl::Status()> write;  // an error: the disk takes nothing
    std::function<absl::Status()> read_decision;
  };
  LossesJournal(LossesDisk& disk, Node node)
      : disk_(disk), node_(std::move(node)) {}

  absl::Status Save(const v1::MigrationRecord& record) override {
    return Write([&] { disk_.record = record; });
  }
  absl::StatusOr<v1::MigrationRecord> Find(const std::string& id) override {
    if (!node_.is_up()) return Lost();
    if (!disk_.record.has_value()) return absl::NotFoundError(id);
    return *disk_.record;
  }
  absl::StatusOr<std::vector<v1::MigrationRecord>> Load() override {
    if (!node_.is_up()) return Lost();
    return disk_.Records();
  }
  absl::Status Remove(const std::string&) override { return {}; }
  absl::Status Decide(const v1::MigrationRecord&) override {
    return Write([&] { disk_.decided = true; });
  }
  absl::StatusOr<bool> IsDecided(const v1::MigrationRecord&) override {
    if (!node_.is_up()) return Lost();
    CKPT_RETURN_IF_ERROR(node_.read_decision());
    return disk_.decided;
  }

 private:
  static absl::Status Lost() { return absl::UnavailableError("lost"); }
  absl::Status Write(const std::function<void()>& change) {
    if (!node_.step()) return Lost();
    CKPT_RETURN_IF_ERROR(node_.write());
    change();
    return node_.step() ? absl::OkStatus() : Lost();
  }

  LossesDisk& disk_;
  const Node node_;
};

}  // namespace ckpt::migrate

#endif  // CKPT_MIGRATE_LOSSES_JOURNAL_H_
