#include "tests/fuzz/fake_node.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "rpc/operation_end.h"
#include "store/pending_image.h"

namespace ckpt::fuzz {
namespace {

// Enough for all calls of an input, as migrations may wait to be continued.
constexpr agent::WorkerPool::Limits kOperationLimits = {.threads = 10,
                                                        .waiting = 10};
constexpr agent::WorkerPool::Limits kCallLimits = {.threads = 2, .waiting = 8};

agent::Policy TestPolicy() {
  auto policy = agent::Policy::Parse(
      "rule { local_user: '0' verb: ALL cgroup: '/' }\n"
      "rule { local_user: '7' verb: ALL cgroup: '/jobs' }",
      agent::UserNames::Real());
  Require(policy.ok(), policy.status().ToString());
  return *std::move(policy);
}

// The other node, which does all it is asked for.
class FakePeer : public migrate::Peer {
 public:
  absl::Status Prepare(const v1::MigrationRecord&) override {
    return absl::OkStatus();
  }
  void BeginSend(const v1::MigrationRecord&, int,
                 const Cancellation*) override {}
  absl::Status Send(const v1::MigrationRecord&, const Cancellation*) override {
    return absl::OkStatus();
  }
  absl::Status Hold(const v1::MigrationRecord&, const Cancellation*) override {
    return absl::OkStatus();
  }
  absl::StatusOr<v1::RestoreReport> Release(
      const v1::MigrationRecord&) override {
    return v1::RestoreReport();
  }
  absl::Status Abort(const v1::MigrationRecord&) override {
    return absl::OkStatus();
  }
  absl::StatusOr<v1::MigrationDecision> Decision(
      const v1::MigrationRecord&) override {
    return absl::UnavailableError("lost");
  }
};

v1::JobStatus JobOf(const std::string& name, const std::string& cgroup) {
  v1::JobStatus job;
  job.mutable_record()->set_name(name);
  job.mutable_record()->set_cgroup(cgroup);
  return job;
}

}  // namespace

absl::StatusOr<std::vector<v1::JobStatus>> FakeRunWork::List() {
  return std::vector<v1::JobStatus>{JobOf("mine", "/cg/jobs/a"),
                                    JobOf("secret", "/cg/other")};
}

absl::StatusOr<v1::JobStatus> FakeRunWork::Get(const std::string& name) {
  const auto all = List();
  for (const v1::JobStatus& job : *all) {
    if (job.record().name() == name) return job;
  }
  return absl::NotFoundError("no job");
}

absl::Status FakeRunWork::Suspend(const std::string& name) {
  done.push_back("suspend " + name);
  return absl::OkStatus();
}

absl::Status FakeRunWork::Resume(const std::string& name) {
  done.push_back("resume " + name);
  return absl::OkStatus();
}

absl::StatusOr<v1::StopReport> FakeRunWork::Stop(
    const v1::StopJobRequest& request, const Cancellation&) {
  done.push_back("stop " + request.name());
  return v1::StopReport();
}

absl::StatusOr<v1::KillReport> FakeRunWork::Kill(
    const v1::KillJobRequest& request, const Cancellation&) {
  done.push_back("kill " + request.name());
  return v1::KillReport();
}

absl::StatusOr<v1::JobLogChunk> FakeRunWork::ReadLog(
    const v1::JobLogRequest& request) {
  done.push_back("log " + request.name());
  return v1::JobLogChunk();
}

absl::StatusOr<v1::JobNeeds> FakeSourceJob::Describe(
    const v1::MigrationRecord&) {
  return v1::JobNeeds();
}

absl::StatusOr<v1::DumpReport> FakeSourceJob::Leave(const v1::MigrationRecord&,
                                                    const Steps& steps,
                                                    const Cancellation*) {
  migrate::HeldJob job;
  job.frozen_at = absl::UnixEpoch();
  if (const absl::Status held = steps.hand_over(job); !held.ok()) return held;
  return v1::DumpReport();
}

absl::Status FakeSourceJob::EndTasks(const v1::MigrationRecord&) {
  return absl::OkStatus();
}

absl::Status FakeSourceJob::DropImage(const v1::MigrationRecord&) {
  return absl::OkStatus();
}

absl::Status FakeSourceJob::Unlock(const v1::MigrationRecord&, Whereabouts) {
  return absl::OkStatus();
}

absl::Status FakeDestinationJob::Reserve(const v1::MigrationRecord&) {
  return absl::OkStatus();
}

absl::StatusOr<std::string> FakeDestinationJob::Verify(
    const v1::MigrationRecord&) {
  return "id";
}

absl::StatusOr<migrate::BuiltJob> FakeDestinationJob::Hold(
    const v1::MigrationRecord&) {
  return migrate::BuiltJob();
}

absl::Status FakeDestinationJob::EndBuilt(const v1::MigrationRecord&) {
  return absl::OkStatus();
}

absl::StatusOr<v1::RestoreReport> FakeDestinationJob::Run(
    const v1::MigrationRecord&, const Releasing& releasing) {
  const absl::Status go = releasing(migrate::BuiltJob());
  if (!go.ok()) return go;
  return v1::RestoreReport();
}

absl::StatusOr<FakeDestinationJob::Fate> FakeDestinationJob::FateOf(
    const v1::MigrationRecord&) {
  return Fate::kNeverRan;
}

absl::Status FakeDestinationJob::Drop(const v1::MigrationRecord&) {
  return absl::OkStatus();
}

absl::Status FakeDestinationJob::DropImage(const v1::MigrationRecord&) {
  return absl::OkStatus();
}

FakeNode::FakeNode(agent::Caller caller)
    : caller_(std::move(caller)),
      store_(scratch_.path() + "/store"),
      gate_(TestPolicy(), [](const std::string&) {}),
      receiver_(store_),
      operation_pool_(kOperationLimits),
      operations_(operation_pool_, log_),
      group_desk_(gate_, claims_, group_work_),
      job_desk_(gate_, claims_, operations_, job_work_),
      run_desk_(gate_, claims_, job_work_, run_work_),
      transfer_desk_(gate_, store_, receiver_, metrics_, nullptr),
      calls_(kCallLimits),
      long_calls_(kCallLimits),
      watches_(kCallLimits),
      carriers_(kCallLimits),
      peers_(kCallLimits),
      verdicts_(kCallLimits) {
  for (const char* const path : {"/jobs/a", "/jobs/b", "/other"}) {
    group_work_.groups.Add(path);
    job_work_.groups.Add(path);
  }
  job_work_.images = {{"job", "/jobs/a"}, {"secret", "/other"}};
  job_work_.damaged = {"damaged"};
  Require(::mkdir(store_.directory().c_str(), 0700) == 0, "a store");
  auto journal =
      migrate::FileJournal::Open(store_.directory() + "/.migrations");
  Require(journal.ok(), "a journal");
  journal_ = *std::move(journal);
  migrations_ = std::make_unique<agent::Migrations>(
      *journal_, source_job_, destination_job_,
      [](const v1::MigrationRecord&, const agent::Migrations::OnProgress&) {
        return std::make_unique<FakePeer>();
      });
  migration_desk_ = std::make_unique<agent::MigrationDesk>(
      gate_, claims_, operations_, job_work_, *migrations_);
  const agent::Desks desks = {
      metrics_,         group_desk_, job_desk_, run_desk_,      operations_,
      calls_,           long_calls_, watches_,  transfer_desk_, carriers_,
      *migration_desk_, peers_,      verdicts_};
  server_ = agent::MakeGrpcServer(desks, caller_);
}

FakeNode::~FakeNode() {
  server_ = nullptr;
  operations_.CancelAll();
}

UniqueFd FakeNode::Connect() {
  int ends[2];
  Require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                       ends) == 0,
          "a pair of sockets");
  server_->Serve(UniqueFd(ends[0]));
  return UniqueFd(ends[1]);
}

void FakeNode::MakeImage() {
  auto pending = store_.Begin("job");
  if (!pending.ok()) return;  // it is there
  const auto fd =
      OpenAt((*pending)->dir_fd(), "pages-1.img", O_WRONLY | O_CREAT, 0600);
  Require(fd.ok() &&
              WriteAll(fd->get(), std::string(9000, 'x'), "pages-1.img").ok(),
          "a file of an image");
  v1::Manifest manifest;
  manifest.mutable_job()->set_cgroup("/jobs/a");
  Require((*pending)->Seal(manifest).ok(), "a manifest");
  Require(std::move(**pending).Publish().ok(), "an image");
}

void FakeNode::Settle() {
  const auto works = [this] {
    const v1::OperationList all = operations_.List();
    for (const v1::Operation& operation : all.operations()) {
      if (!rpc::HasEnded(operation) && !operation.has_migrate_request())
        return true;
    }
    return false;
  };
  while (works()) ::usleep(100);
}

void FakeNode::RequireClean() {
  scratch_.RequireCleanStore();
  if (caller_.uid == 0) return;
  std::vector<std::string> done = group_work_.done;
  done.insert(done.end(), job_work_.done.begin(), job_work_.done.end());
  done.insert(done.end(), run_work_.done.begin(), run_work_.done.end());
  Require(caller_.uid == 7 || done.empty(),
          "nothing is done for those who may do nothing");
  for (absl::string_view what : done) {
    Require(!absl::StrContains(what, " /cg/other"),
            absl::StrCat("a group of others is left alone: ", what));
    // An image or a job of theirs; a dump may make one of any name.
    for (const char* const verb :
         {"get", "verify", "remove", "pin", "unpin", "restore", "suspend",
          "resume", "stop", "kill", "log"}) {
      Require(what != absl::StrCat(verb, " secret") &&
                  !absl::StartsWith(what, absl::StrCat(verb, " secret ")),
              absl::StrCat("what is of others is left alone: ", what));
    }
  }
}

}  // namespace ckpt::fuzz
