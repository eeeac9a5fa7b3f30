#include "tests/campaign/migrate_campaign.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <random>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "tests/campaign/migrate_faults.h"
#include "tests/node/migration_lab.h"
#include "tests/support/job.h"
#include "tests/support/test_cgroup.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr char kId[] = "m";
constexpr absl::Duration kPoll = absl::Milliseconds(5);
constexpr absl::Duration kSettlePoll = absl::Milliseconds(100);
// A migration that nothing holds up takes a third of a second.
constexpr absl::Duration kStrikeLimit = absl::Minutes(1);
// How long a fault lasts before it is put right.
constexpr absl::Duration kHolds[] = {absl::ZeroDuration(),
                                     absl::Milliseconds(300), absl::Seconds(3)};

struct Plan {
  FaultKind kind = FaultKind::kSourceAgent;
  MigrationPoint point = {};
  CgroupVersion version = CgroupVersion::kV2;
  absl::Duration hold;
};

Plan Draw(uint64_t seed, int run) {
  std::seed_seq mixed = {seed, static_cast<uint64_t>(run)};
  std::mt19937_64 random(mixed);
  Plan plan;
  plan.kind = static_cast<FaultKind>(random() % kFaultKinds);
  const std::vector<MigrationPoint> points = PointsFor(plan.kind);
  plan.point = points[random() % points.size()];
  plan.version = random() % 2 == 0 ? CgroupVersion::kV1 : CgroupVersion::kV2;
  plan.hold = kHolds[random() % std::size(kHolds)];
  return plan;
}

std::string Describe(const Plan& plan) {
  return absl::StrCat(FaultKindName(plan.kind), " at ", plan.point.name,
                      " of node ", plan.point.node, ", ",
                      CgroupVersionName(plan.version), ", for ",
                      absl::FormatDuration(plan.hold));
}

// What the polling leaves in an agent's log is of no interest.
std::string WithoutAudit(const std::string& log) {
  std::string text;
  for (const absl::string_view line : absl::StrSplit(log, '\n')) {
    if (!absl::StartsWith(line, "audit ")) absl::StrAppend(&text, line, "\n");
  }
  return text;
}

class Run {
 public:
  Run(const Plan& plan, absl::Duration limit)
      : plan_(plan),
        limit_(limit),
        lab_(plan.version),
        fault_(lab_, plan.kind) {}

  // An error: the run itself could not be held.
  absl::Status Hold();

  // Looks at both nodes until all is as it must be; where the job is then.
  // Internal: it did not come to be.
  enum class Place { kSource, kDestination, kImage };
  absl::StatusOr<Place> Settle();

  bool struck() const { return struck_; }
  std::string Evidence();

 private:
  bool MigrationEnded() const;
  // Looks whether the job has gone back to what it was before.
  void WatchBeats();
  absl::Status StrikeAtPoint();
  // The state that a node's journal ends in; "" when it knows of none.
  std::string StateAt(int node);
  // "" when all is right, and where it is.
  std::string Look(Place& place);
  std::string LookAtImage();

  const Plan plan_;
  const absl::Duration limit_;
  MigrationLab lab_;
  MigrationFault fault_;
  pid_t migration_ = 0;
  size_t processes_ = 0;
  bool struck_ = false;
  uint64_t beats_ = 0;  // the most rounds that were seen
  std::string rolled_back_;
};

void Run::WatchBeats() {
  const auto status = ReadStatus(lab_.File("status"));
  if (!status.ok()) return;
  if (status->beat < beats_ && rolled_back_.empty()) {
    rolled_back_ = absl::StrCat("the job had done ", beats_,
                                " rounds, and went back to ", status->beat);
  }
  beats_ = std::max(beats_, status->beat);
}

bool Run::MigrationEnded() const {
  return !ReadFile(lab_.node(1).OutsidePath(
                       absl::StrCat("/proc/", migration_, "/stat")))
              .ok();
}

absl::Status Run::StrikeAtPoint() {
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + kStrikeLimit;
  while (!MigrationEnded() && clock.Now() < deadline) {
    WatchBeats();
    if (IsStopped(lab_, plan_.point.node)) {
      absl::Status struck = fault_.Strike();
      if (!struck.ok() && !absl::IsNotFound(struck)) return struck;
      struck_ = struck.ok();
      Continue(lab_);
      if (struck_) break;
    }
    clock.Sleep(kPoll);
  }
  if (!struck_) return absl::OkStatus();
  const absl::Time healing = clock.Now() + plan_.hold;
  while (clock.Now() < healing) {
    WatchBeats();
    Continue(lab_);
    clock.Sleep(kPoll);
  }
  return fault_.Heal();
}

absl::Status Run::Hold() {
  CKPT_RETURN_IF_ERROR(lab_.SetUp());
  CKPT_RETURN_IF_ERROR(fault_.Prepare());
  for (const int node : {1, 2}) {
    CKPT_RETURN_IF_ERROR(lab_.StartAgent(node, FaultSpec(plan_.point, node)));
  }
  CKPT_RETURN_IF_ERROR(lab_.StartJob("pipes"));
  processes_ = lab_.Tasks(1).size();
  CKPT_ASSIGN_OR_RETURN(const Job migration, lab_.StartMigration(1, kId));
  migration_ = migration.pid();
  return StrikeAtPoint();
}

std::string Run::StateAt(int node) {
  const CommandResult shown = lab_.Ckpt(node, {"ops", "show", kId});
  const std::string begin = absl::StrCat("migration ", kId, ": ");
  for (const absl::string_view line : absl::StrSplit(shown.out, '\n')) {
    if (absl::StartsWith(line, begin)) {
      return std::string(line.substr(begin.size()));
    }
  }
  // NOT_FOUND, or an operation that came to no migration.
  if (shown.exit_status == 5 || shown.exit_status == 0) return "";
  return absl::StrCat("unknown: ", shown.err);
}

std::string Run::LookAtImage() {
  std::vector<std::pair<int, std::string>> images;
  for (const int node : {1, 2}) {
    const auto names = lab_.Images(node);
    if (!names.ok()) return names.status().ToString();
    for (const std::string& name : *names) {
      if (name != ".migrations") images.emplace_back(node, name);
    }
  }
  if (images.size() != 1) {
    return absl::StrCat("nothing runs, and there are ", images.size(),
                        " images");
  }
  const auto& [node, name] = images[0];
  if (lab_.Ckpt(node, {"verify", name}).exit_status != 0) {
    return absl::StrCat("nothing runs, and ", name, " is no whole image");
  }
  const auto told = ReadFile(lab_.File("migrate"));
  if (!told.ok() || !absl::StrContains(*told, name)) {
    return absl::StrCat("nothing runs, and nobody says that ", name, " is it");
  }
  return "";
}

std::string Run::Look(Place& place) {
  WatchBeats();
  if (!rolled_back_.empty()) return rolled_back_;
  if (!MigrationEnded()) return "ckpt migrate does not end";
  const std::string source = StateAt(1);
  if (source != "DONE" && source != "CLOSED" && !source.empty()) {
    return "the source is not settled: " + source;
  }
  const std::string destination = StateAt(2);
  if (destination != "RUNNING" && destination != "DROPPED" &&
      !destination.empty()) {
    return "the destination is not settled: " + destination;
  }
  for (const int node : {1, 2}) {
    const auto state = lab_.group(node).State();
    if (!state.ok() || *state != CgroupState::kThawed) {
      return absl::StrCat("the group of node ", node, " is frozen");
    }
  }
  const size_t here = lab_.Tasks(1).size();
  const size_t there = lab_.Tasks(2).size();
  if (here == 0 && there == 0) {
    place = Place::kImage;
    return LookAtImage();
  }
  if (std::max(here, there) != processes_ || std::min(here, there) != 0) {
    return absl::StrCat(here, " and ", there, " processes instead of ",
                        processes_, " at one node");
  }
  for (const int node : {1, 2}) {
    const auto names = lab_.Images(node);
    if (!names.ok()) return names.status().ToString();
    if (names->size() > 1) {
      return absl::StrCat("something is left in the store of node ", node);
    }
  }
  place = there != 0 ? Place::kDestination : Place::kSource;
  if ((there != 0) != (destination == "RUNNING")) {
    return absl::StrCat("the job is at node ", there != 0 ? 2 : 1,
                        ", and the journals say ", source, " and ",
                        destination);
  }
  return "";
}

absl::StatusOr<Run::Place> Run::Settle() {
  Clock& clock = Clock::Real();
  const absl::Time deadline = clock.Now() + limit_;
  Place place = Place::kImage;
  std::string problem;
  while (true) {
    Continue(lab_);
    problem = Look(place);
    if (problem.empty()) break;
    if (clock.Now() > deadline || !rolled_back_.empty())
      return absl::InternalError(problem);
    clock.Sleep(kSettlePoll);
  }
  if (place == Place::kImage) return place;
  CKPT_RETURN_IF_ERROR(lab_.AwaitBeats());
  Place later = place;
  problem = Look(later);
  if (problem.empty() && later != place)
    problem = "the job is not where it was";
  if (!problem.empty()) return absl::InternalError(problem);
  return place;
}

std::string Run::Evidence() {
  std::string text;
  const auto told = ReadFile(lab_.File("migrate"));
  if (told.ok()) absl::StrAppend(&text, "ckpt migrate:\n", *told);
  for (const int node : {1, 2}) {
    const CommandResult shown = lab_.Ckpt(node, {"ops", "show", kId});
    absl::StrAppend(&text, "node ", node, ":\n", shown.out, shown.err,
                    WithoutAudit(lab_.Log(node)));
    const auto names = lab_.Images(node);
    if (names.ok()) {
      absl::StrAppend(&text, "store: ", absl::StrJoin(*names, " "), "\n");
    }
  }
  return text;
}

// One run, from its drawing to its place among the counts.
absl::Status Count(const MigrateCampaignOptions& options, int number,
                   MigrateCampaignCounts& counts) {
  const Plan plan = Draw(options.seed, number);
  Run run(plan, options.limit);
  CKPT_RETURN_IF_ERROR(run.Hold());
  const auto place = run.Settle();
  ++counts.runs;
  ++(run.struck() ? counts.struck : counts.missed);
  if (run.struck()) ++counts.hits[FaultKindName(plan.kind)];
  std::string word = "wrong";
  if (!place.ok()) {
    ++counts.wrong;
    std::fprintf(stderr, "WRONG (repeat: --seed %lu --only %d): %s\n  %s\n%s\n",
                 options.seed, number, Describe(plan).c_str(),
                 place.status().ToString().c_str(), run.Evidence().c_str());
  } else if (!run.struck()) {
    word = "missed";
  } else if (*place == Run::Place::kSource) {
    ++counts.stayed;
    word = "stayed";
  } else if (*place == Run::Place::kDestination) {
    ++counts.moved;
    word = "moved";
  } else {
    ++counts.image;
    word = "image";
  }
  if (options.verbose) {
    std::printf("%4d  %-7s %s\n", number, word.c_str(), Describe(plan).c_str());
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MigrateCampaignCounts> RunMigrateCampaign(
    const MigrateCampaignOptions& options) {
  MigrateCampaignCounts counts;
  const int first = options.only >= 0 ? options.only : 0;
  const int last = options.only >= 0 ? options.only + 1 : options.runs;
  for (int number = first; number < last; ++number) {
    if (absl::Status held = Count(options, number, counts); !held.ok()) {
      return WithMessage(
          held, absl::StrCat("run ", number, " of seed ", options.seed, " (",
                             Describe(Draw(options.seed, number)),
                             "): ", held.message()));
    }
  }
  return counts;
}

std::string RenderCounts(const MigrateCampaignCounts& counts) {
  std::string text = absl::StrFormat(
      "runs      %6d\n"
      "struck    %6d  the fault hit\n"
      "  moved   %6d  the job runs at the destination\n"
      "  stayed  %6d  the job runs at the source\n"
      "  image   %6d  nothing runs, and one whole image is there\n"
      "missed    %6d  the migration did not come by\n"
      "wrong     %6d\n",
      counts.runs, counts.struck, counts.moved, counts.stayed, counts.image,
      counts.missed, counts.wrong);
  for (const auto& [kind, hits] : counts.hits) {
    absl::StrAppendFormat(&text, "  %-34s %4d\n", kind, hits);
  }
  return text;
}

}  // namespace ckpt
