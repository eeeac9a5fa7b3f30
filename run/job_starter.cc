#include "run/job_starter.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/status.h"
#include "restore/restore.h"
#include "run/launcher.h"

extern char** environ;

namespace ckpt::run {
namespace {

off_t SizeOf(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

absl::Status Empty(const std::string& path) {
  if (::truncate(path.c_str(), 0) == 0 || errno == ENOENT ||
      errno == EINVAL) {  // a device
    return absl::OkStatus();
  }
  return ErrnoToStatus(errno, "empty", path);
}

// A restore that was killed leaves the file that CRIU had made of the init's
// program, init.cr.N.ghost, and CRIU refuses to make it again.
void RemoveGhosts(const std::string& directory) {
  const auto names = ListDirectory(directory);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (absl::StartsWith(name, "init.cr.")) {
      (void)::unlink(absl::StrCat(directory, "/", name).c_str());
    }
  }
}

std::vector<std::string> Environment(const std::string& name,
                                     const JobDirectory& directory,
                                     const std::string& calls_path) {
  std::vector<std::string> env;
  for (char** word = environ; *word != nullptr; ++word) {
    if (!absl::StartsWith(*word, "CKPT_JOB=") &&
        !absl::StartsWith(*word, "CKPT_SOCKET=") &&
        !absl::StartsWith(*word, "CKPT_RESTARTED_FILE=")) {
      env.emplace_back(*word);
    }
  }
  env.push_back(absl::StrCat("CKPT_JOB=", name));
  env.push_back(absl::StrCat("CKPT_SOCKET=", calls_path));
  env.push_back(
      absl::StrCat("CKPT_RESTARTED_FILE=", directory.restarts_file()));
  return env;
}

std::string When(const v1::Manifest& manifest) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S",
                          absl::FromUnixNanos(manifest.created_unix_ns()),
                          absl::LocalTimeZone());
}

}  // namespace

std::string JobStarter::AskedOutput() const {
  return options_.output.empty() ? directory_.output() : options_.output;
}

std::string JobStarter::AskedErrorOutput() const {
  return options_.error_output.empty() ? directory_.error_output()
                                       : options_.error_output;
}

void JobStarter::Warn(const std::string& text, StartedJob& job) {
  environment_.tell(text);
  job.warnings.push_back(text);
}

void JobStarter::SetOutput(const v1::JobLedger& ledger, StartedJob& job) {
  job.output = ledger.output().empty() ? AskedOutput() : ledger.output();
  job.error_output = ledger.error_output().empty() ? AskedErrorOutput()
                                                   : ledger.error_output();
  job.output_from = SizeOf(job.output);
  job.error_from = SizeOf(job.error_output);
}

void JobStarter::WarnOfOutput(StartedJob& job) {
  for (const auto& [file, asked] :
       {std::make_pair(job.output, AskedOutput()),
        std::make_pair(job.error_output, AskedErrorOutput())}) {
    if (file == asked) continue;
    Warn(absl::StrCat("the job prints to ", file, " as before, not to ", asked,
                      ": a job that goes on has its files open"),
         job);
  }
}

absl::Status JobStarter::CheckCommand(const std::string& program,
                                      const JobImage& image) {
  std::vector<std::string> words = {"ckpt-init", program};
  words.insert(words.end(), options_.argv.begin(), options_.argv.end());
  const std::string ours(
      absl::StripTrailingAsciiWhitespace(absl::StrJoin(words, " ")));
  if (ours == image.manifest.job().command()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "image ", image.name, " of job ", options_.name,
      " is of another command (", image.manifest.job().command(),
      "): give this one another --name, or start it afresh (--fresh); nothing "
      "was started"));
}

absl::Status JobStarter::Restore(const JobImage& image, v1::JobLedger& ledger,
                                 StartedJob& job) {
  HookFacts facts = {.image = image.name, .restarts = ledger.restarts()};
  facts.outcome = hooks_.Run(Hook::kPreRestore, facts);
  if (facts.outcome.ok()) {
    facts.outcome = RestoreCounted(image, ledger, job);
    facts.restarts = ledger.restarts();
  } else {
    facts.outcome = WithMessage(
        facts.outcome,
        absl::StrCat(facts.outcome.message(), "; nothing was started"));
  }
  // Also after a failure: it can undo what the one before has done.
  const absl::Status after = hooks_.Run(Hook::kPostRestore, facts);
  if (!after.ok()) Warn(std::string(after.message()), job);
  return facts.outcome;
}

absl::Status JobStarter::RestoreCounted(const JobImage& image,
                                        v1::JobLedger& ledger,
                                        StartedJob& job) {
  const int32_t before = ledger.restarts();
  ledger.set_restarts(before + 1);
  absl::Status status = directory_.WriteLedger(ledger);
  if (status.ok()) status = directory_.WriteRestarts(ledger.restarts());
  if (status.ok()) status = FaultPoint("run.before_restore");
  if (status.ok()) status = RestoreNow(image, ledger, job);
  if (status.ok()) return status;
  ledger.set_restarts(before);
  return AppendError(status, "taking back the count of restarts",
                     directory_.WriteLedger(ledger));
}

absl::Status JobStarter::RestoreNow(const JobImage& image,
                                    const v1::JobLedger& ledger,
                                    StartedJob& job) {
  RemoveGhosts(directory_.path());
  SetOutput(ledger, job);
  v1::RestoreRequest request;
  request.set_image(image.name);
  // An image of before frames had a group for the job has no groups.
  const bool has_groups = image.manifest.job().groups_size() > 0;
  request.set_cgroup((has_groups ? frame_.group() : frame_.job_group()).path());
  request.set_hierarchy(frame_.group().hierarchy());
  request.set_output_policy(options_.output_policy);
  request.set_timeout_seconds(options_.timeout_seconds);
  *request.mutable_criu() = options_.criu;
  CKPT_ASSIGN_OR_RETURN(const v1::RestoreReport restored,
                        restore::Restore(request, {.store = environment_.store,
                                                   .criu = environment_.criu}));
  job.root = restored.pid();
  job.restored_from = image.name;
  job.image_unix_ns = image.manifest.created_unix_ns();
  environment_.tell(absl::StrCat("restored job ", options_.name, " from image ",
                                 image.name, " of ", When(image.manifest)));
  for (const v1::CutFile& cut : restored.cut_files()) {
    const auto size = static_cast<off_t>(cut.to_bytes());
    if (cut.path() == job.output) job.output_from = size;
    if (cut.path() == job.error_output) job.error_from = size;
    environment_.tell(absl::StrCat("cut back ", cut.path(), " from ",
                                   cut.from_bytes(), " to ", cut.to_bytes(),
                                   " bytes: the job writes the rest again"));
  }
  WarnOfOutput(job);
  return absl::OkStatus();
}

absl::Status JobStarter::StartAfresh(const std::string& program,
                                     v1::JobLedger& ledger, StartedJob& job) {
  job.output = AskedOutput();
  job.error_output = AskedErrorOutput();
  ledger.set_output(job.output);
  ledger.set_error_output(job.error_output);
  ledger.set_restarts(0);
  ledger.set_finished_image(job.last_number);
  CKPT_RETURN_IF_ERROR(directory_.WriteLedger(ledger));
  CKPT_RETURN_IF_ERROR(directory_.WriteRestarts(0));
  CKPT_RETURN_IF_ERROR(FaultPoint("run.before_start"));
  CKPT_RETURN_IF_ERROR(Empty(job.output));
  CKPT_RETURN_IF_ERROR(Empty(job.error_output));
  LaunchOptions launch;
  launch.program = program;
  launch.argv = options_.argv;
  launch.env = Environment(options_.name, directory_, calls_path_);
  launch.group = &frame_.job_group();
  launch.output = job.output;
  launch.error_output = job.error_output;
  launch.directory = directory_.path();
  CKPT_ASSIGN_OR_RETURN(job.root, Launch(launch));
  environment_.tell(absl::StrCat("started job ", options_.name, " afresh"));
  return absl::OkStatus();
}

absl::StatusOr<StartedJob> JobStarter::Start(v1::JobLedger& ledger) {
  CKPT_ASSIGN_OR_RETURN(const std::string program,
                        FindProgram(options_.argv.front()));
  CKPT_ASSIGN_OR_RETURN(std::vector<JobImage> images,
                        ListJobImages(*environment_.store, options_.name));
  StartedJob job;
  job.last_number = ledger.finished_image();
  if (!images.empty()) {
    job.last_number = std::max(job.last_number, images.back().number);
  }
  std::reverse(images.begin(), images.end());
  for (const JobImage& image : images) {
    if (options_.fresh || image.number <= ledger.finished_image()) break;
    absl::Status status = image.status;
    if (status.ok()) {
      CKPT_RETURN_IF_ERROR(CheckCommand(program, image));
      status = Restore(image, ledger, job);
    }
    if (status.ok()) return job;
    if (!absl::IsDataLoss(status)) return status;
    environment_.tell(absl::StrCat("image ", image.name, " is damaged (",
                                   status.message(),
                                   "); trying the one before it"));
  }
  CKPT_RETURN_IF_ERROR(StartAfresh(program, ledger, job));
  return job;
}

}  // namespace ckpt::run
