#include "tests/campaign/campaign.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/status.h"
#include "google/protobuf/util/json_util.h"
#include "proto/checkpoint.pb.h"
#include "tests/campaign/storm.h"
#include "tests/e2e/ckpt_runner.h"
#include "tests/e2e/running_ckpt.h"
#include "tests/support/job.h"
#include "tests/support/test_dir.h"

namespace ckpt {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(1);
constexpr int kUnavailable = 14;

bool ParseReport(const std::string& text, v1::FreezeReport& report) {
  return !text.empty() &&
         google::protobuf::util::JsonStringToMessage(text, &report).ok();
}

absl::Status Wrong(absl::string_view what) { return absl::DataLossError(what); }

// One campaign.  Each step returns what is wrong, as a status.
class Campaign {
 public:
  explicit Campaign(const CampaignOptions& options)
      : options_(options), random_(options.seed) {
    // Journal entries of its own.  There is no other thread yet.
    ::setenv("CKPT_RUN_DIR",  // NOLINT(concurrency-mt-unsafe)
             run_dir_.path().c_str(), 1);
  }

  absl::StatusOr<CampaignCounts> Run() {
    const auto parts = static_cast<int>(options_.versions.size());
    for (int part = 0; part < parts; ++part) {
      // One storm at a time: it takes all that the machine has.
      CKPT_ASSIGN_OR_RETURN(
          const auto storm,
          Storm::Start(options_.versions[static_cast<size_t>(part)],
                       options_.workers));
      CKPT_ASSIGN_OR_RETURN(own_children_, ProcFs::Real().Children(::getpid()));
      for (int i = part; i < options_.cycles && !GivenUp(); i += parts) {
        Count("cycle", i, *storm, Cycle(*storm));
      }
      CKPT_RETURN_IF_ERROR(MeasureVerbs(*storm));
      for (int i = part; i < options_.kills && !GivenUp(); i += parts) {
        Count("kill", i, *storm, Kill(*storm));
      }
    }
    return counts_;
  }

 private:
  bool GivenUp() const { return counts_.wrong >= options_.max_wrong; }

  void Count(const char* what, int number, Storm& storm,
             const absl::Status& status) {
    if (status.ok()) return;
    ++counts_.wrong;
    std::fprintf(stderr, "%s %d (%s): %s\n", what, number,
                 CgroupVersionName(storm.group().version()),
                 std::string(status.message()).c_str());
    // So that the next one does not suffer from it.
    (void)storm.group().Thaw();
  }

  bool OneIn(int count) {
    return std::uniform_int_distribution<int>(1, count)(random_) == 1;
  }

  static std::vector<std::string> Words(const char* verb, const Storm& storm) {
    return {CkptRunner::Binary(), verb, "--cgroup", storm.group().path(),
            "--json"};
  }

  // Runs the verb to its end; waits its turn while a guardian is at work.
  absl::Status Command(const char* verb, const Storm& storm,
                       v1::FreezeReport& report) const {
    const absl::Time deadline = Clock::Real().Now() + options_.recovery;
    for (;;) {
      CKPT_ASSIGN_OR_RETURN(const CommandResult result,
                            RunCommand(Words(verb, storm)));
      if (result.exit_status == 0) {
        if (ParseReport(result.out, report)) return absl::OkStatus();
        return Wrong(absl::StrCat(verb, " printed no report: ", result.out));
      }
      if (result.exit_status != kUnavailable ||
          Clock::Real().Now() >= deadline) {
        return Wrong(absl::StrCat(verb, " failed: ", result.err));
      }
    }
  }

  // The report says FROZEN, and who says so is right.
  static absl::Status CheckFreeze(const Storm& storm,
                                  const v1::FreezeReport& report,
                                  bool was_frozen) {
    CKPT_ASSIGN_OR_RETURN(const CgroupState state, storm.group().State());
    if (state != CgroupState::kFrozen) {
      return Wrong(absl::StrCat("a freeze was reported, and the group is ",
                                CgroupStateName(state)));
    }
    if (report.after().state() != v1::FREEZER_STATE_FROZEN ||
        !report.after().self_freezing() ||
        report.before().self_freezing() != was_frozen ||
        report.blockers_size() != 0) {
      return Wrong(absl::StrCat("wrong report: ", report.ShortDebugString()));
    }
    CKPT_ASSIGN_OR_RETURN(const Storm::Picture first, storm.Take());
    if (static_cast<int>(first.size()) != report.threads()) {
      return Wrong(absl::StrCat(report.threads(), " threads were reported, ",
                                first.size(), " are there"));
    }
    CKPT_RETURN_IF_ERROR(storm.CheckMembers());
    // Long enough for whatever is not frozen to be seen moving: a whole ckpt
    // is started and ends meanwhile.
    CKPT_ASSIGN_OR_RETURN(const CommandResult status,
                          RunCommand(Words("status", storm)));
    if (!absl::StrContains(status.out, "FREEZER_STATE_FROZEN")) {
      return Wrong(absl::StrCat("status says: ", status.out));
    }
    CKPT_ASSIGN_OR_RETURN(const Storm::Picture second, storm.Take());
    return CompareFrozen(first, second);
  }

  static absl::Status CompareFrozen(const Storm::Picture& first,
                                    const Storm::Picture& second) {
    for (const auto& [tid, counters] : first) {
      const auto now = second.find(tid);
      if (now == second.end()) {
        return Wrong(absl::StrCat("thread ", tid, " ended, frozen"));
      }
      if (now->second != counters) {
        return Wrong(absl::StrCat("thread ", tid, " moved, frozen: ", counters,
                                  " -> ", now->second));
      }
    }
    if (first.size() != second.size()) {
      return Wrong("a thread was born in a frozen group");
    }
    return absl::OkStatus();
  }

  static absl::Status CheckThaw(const Storm& storm,
                                const v1::FreezeReport& report) {
    CKPT_ASSIGN_OR_RETURN(const CgroupState state, storm.group().State());
    if (state != CgroupState::kThawed ||
        report.after().state() != v1::FREEZER_STATE_THAWED) {
      return Wrong(absl::StrCat("after a thaw the group is ",
                                CgroupStateName(state), ": ",
                                report.ShortDebugString()));
    }
    CKPT_RETURN_IF_ERROR(storm.CheckGoesOn());
    return storm.CheckMembers();
  }

  absl::Status Cycle(Storm& storm) {
    const bool from_frozen = OneIn(4);
    v1::FreezeReport report;
    CKPT_RETURN_IF_ERROR(Command("freeze", storm, report));
    if (from_frozen) CKPT_RETURN_IF_ERROR(Command("freeze", storm, report));
    CKPT_RETURN_IF_ERROR(CheckFreeze(storm, report, from_frozen));
    CKPT_RETURN_IF_ERROR(Command("thaw", storm, report));
    CKPT_RETURN_IF_ERROR(CheckThaw(storm, report));
    ++counts_.cycles;
    if (from_frozen) ++counts_.cycles_from_frozen;
    return absl::OkStatus();
  }

  // How long the verb takes here and now, for choosing moments to kill it.
  static absl::Duration TimeOf(const char* verb, const Storm& storm) {
    const absl::Time start = Clock::Real().Now();
    RunningCkpt(Words(verb, storm), "").Wait();
    return Clock::Real().Now() - start;
  }

  absl::Status MeasureVerbs(const Storm& storm) {
    std::vector<absl::Duration> freezes;
    std::vector<absl::Duration> thaws;
    for (int i = 0; i < 11; ++i) {
      freezes.push_back(TimeOf("freeze", storm));
      thaws.push_back(TimeOf("thaw", storm));
    }
    std::sort(freezes.begin(), freezes.end());
    std::sort(thaws.begin(), thaws.end());
    freeze_time_ = freezes[freezes.size() / 2];
    thaw_time_ = thaws[thaws.size() / 2];
    v1::FreezeReport report;
    return Command("thaw", storm, report);
  }

  // What a kill was aimed at, and where it hit.
  struct Shot {
    bool thaw = false;  // `ckpt thaw`, not `ckpt freeze`
    bool from_frozen = false;
    bool killed = false;  // before ckpt ended by itself
    std::string moment;   // fault point, or delay
    std::string output;   // of ckpt and its guardian
    std::string errors;
    absl::Time at;
    CgroupState found = CgroupState::kThawed;  // right after the kill
  };

  absl::Status Kill(Storm& storm) {
    Shot shot;
    shot.thaw = OneIn(5);
    shot.from_frozen = shot.thaw || OneIn(3);
    v1::FreezeReport report;
    if (shot.from_frozen) {
      CKPT_RETURN_IF_ERROR(Command("freeze", storm, report));
    }
    Fire(storm, shot);
    CKPT_RETURN_IF_ERROR(AwaitNobodyLeft(shot));
    CKPT_RETURN_IF_ERROR(CheckAfterwards(storm, shot));
    CKPT_RETURN_IF_ERROR(Command("thaw", storm, report));
    CKPT_RETURN_IF_ERROR(CheckThaw(storm, report));
    // That one has cleared away what a holder left that was killed before it
    // had a guardian.
    CKPT_RETURN_IF_ERROR(CheckJournalIsEmpty());
    ++counts_.kills;
    if (shot.from_frozen) ++counts_.kills_from_frozen;
    if (shot.thaw) ++counts_.kills_of_thaw;
    return absl::OkStatus();
  }

  void Fire(const Storm& storm, Shot& shot) {
    // Moments that chance seldom finds.
    constexpr const char* kPoints[] = {"freeze.held", "freeze.guarded",
                                       "freeze.frozen", "handover.half"};
    const bool at_fault_point = !shot.thaw && OneIn(4);
    const char* const point =
        kPoints[std::uniform_int_distribution<size_t>(0, 3)(random_)];
    const absl::Duration usual = shot.thaw ? thaw_time_ : freeze_time_;
    const absl::Duration delay =
        usual * std::uniform_real_distribution<>(0, reach_)(random_);
    shot.moment = at_fault_point
                      ? point
                      : absl::StrCat("after ", absl::FormatDuration(delay));
    running_ = std::make_unique<RunningCkpt>(
        Words(shot.thaw ? "thaw" : "freeze", storm),
        at_fault_point ? absl::StrCat(point, "=kill") : "");
    if (!at_fault_point) {
      Clock::Real().Sleep(delay);
      running_->Signal(SIGKILL);
    }
    shot.at = Clock::Real().Now();
    shot.killed = running_->Wait() == 128 + SIGKILL;
    if (at_fault_point) {
      shot.at = Clock::Real().Now();
      ++counts_.kills_at_fault_point;
    }
    if (!shot.killed) ++counts_.too_late;
    // Sleeping takes longer than asked for under a storm; with this, one in
    // five comes too late, and the others are spread over all of the run.
    reach_ *= shot.killed ? 1.025 : 0.9;
    shot.found = storm.group().State().value_or(CgroupState::kThawed);
  }

  // The guardian is an orphan, and so has become a child of this process.
  absl::Status AwaitNobodyLeft(Shot& shot) {
    const absl::Time deadline = shot.at + options_.recovery;
    for (;;) {
      ReapAll();
      CKPT_ASSIGN_OR_RETURN(const std::vector<pid_t> children,
                            ProcFs::Real().Children(::getpid()));
      std::vector<std::string> strangers;
      for (const pid_t child : children) {
        if (std::find(own_children_.begin(), own_children_.end(), child) ==
            own_children_.end()) {
          strangers.push_back(DescribeTask(ProcFs::Real(), child));
        }
      }
      if (strangers.empty()) break;
      if (Clock::Real().Now() >= deadline) {
        return Wrong(absl::StrCat("still there after ",
                                  absl::FormatDuration(options_.recovery), ": ",
                                  absl::StrJoin(strangers, ", ")));
      }
      Clock::Real().Sleep(kPoll);
    }
    shot.output = running_->ReadOutput();
    shot.errors = running_->ReadErrors();
    return absl::OkStatus();
  }

  absl::Status CheckAfterwards(const Storm& storm, const Shot& shot) {
    v1::FreezeReport report;
    const bool reported = ParseReport(shot.output, report);
    if (!shot.killed && !reported) {
      return Wrong(absl::StrCat("ckpt failed: ", shot.errors));
    }
    ++(reported ? counts_.after_report : counts_.before_report);
    CKPT_ASSIGN_OR_RETURN(const CgroupState state, storm.group().State());
    if (state != shot.found) ++counts_.recovered;
    if (!reported && shot.thaw) {
      // Not begun, or ended for the dead one; nothing in between.
      return state == CgroupState::kFreezing
                 ? Wrong("a thaw was cut short, and the group is FREEZING")
                 : absl::OkStatus();
    }
    const bool frozen = !shot.thaw && (reported || shot.from_frozen);
    const CgroupState wanted =
        frozen ? CgroupState::kFrozen : CgroupState::kThawed;
    if (state != wanted) {
      return Wrong(absl::StrCat(
          shot.killed ? "killed " : "not killed ", shot.moment,
          "; the group was ", CgroupStateName(shot.found), " then, and is ",
          CgroupStateName(state), " instead of ", CgroupStateName(wanted),
          "; printed: ", shot.output, shot.errors));
    }
    if (shot.thaw || !reported) return absl::OkStatus();
    return CheckFreeze(storm, report, shot.from_frozen);
  }

  absl::Status CheckJournalIsEmpty() const {
    const auto names = ListDirectory(run_dir_.File("journal"));
    if (absl::IsNotFound(names.status()) || (names.ok() && names->empty())) {
      return absl::OkStatus();
    }
    CKPT_RETURN_IF_ERROR(names.status());
    return Wrong(
        absl::StrCat("left in the journal: ", absl::StrJoin(*names, ", ")));
  }

  const CampaignOptions options_;
  std::mt19937_64 random_;
  TestDir run_dir_;
  std::vector<pid_t> own_children_;  // the storm, and its group's guard
  absl::Duration freeze_time_;
  absl::Duration thaw_time_;
  double reach_ = 1;  // the latest moment of a kill, in usual run times
  std::unique_ptr<RunningCkpt> running_;
  CampaignCounts counts_;
};

}  // namespace

absl::StatusOr<CampaignCounts> RunCampaign(const CampaignOptions& options) {
  return Campaign(options).Run();
}

std::string RenderCounts(const CampaignCounts& counts) {
  return absl::StrFormat(
      "cycles    %6d  freeze and thaw, %d of them of a frozen group\n"
      "kills     %6d  %d of a frozen group, %d at a fault point, %d of a thaw\n"
      "  too late        %6d  ckpt had ended by itself\n"
      "  before report   %6d  the group is as it was\n"
      "  after report    %6d  and the report holds\n"
      "  recovered       %6d  what was begun was undone or ended\n"
      "wrong     %6d\n",
      counts.cycles, counts.cycles_from_frozen, counts.kills,
      counts.kills_from_frozen, counts.kills_at_fault_point,
      counts.kills_of_thaw, counts.too_late, counts.before_report,
      counts.after_report, counts.recovered, counts.wrong);
}

}  // namespace ckpt
