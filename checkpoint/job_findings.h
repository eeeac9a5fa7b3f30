// What of a job CRIU will not dump, or would dump and not bring back, and what
// resolves it.
//
//   FindingList list(options);
//   JudgeJob(survey, list);
//   JudgeSockets(survey, list);
//   for (const v1::CheckFinding& finding : list.findings()) ...
//
// Each rule was seen with CRIU 4.2.1: //tests/e2e:check_test makes a job for
// each, and holds the rule against what CRIU alone does to it.  docs/check.md
// has the table.
#ifndef CKPT_CHECKPOINT_JOB_FINDINGS_H_
#define CKPT_CHECKPOINT_JOB_FINDINGS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "checkpoint/job_survey.h"
#include "proto/check.pb.h"
#include "proto/checkpoint.pb.h"

namespace ckpt::checkpoint {

// What is common to all findings of a kind.
struct Rule {
  absl::string_view subject;
  absl::string_view meaning;
  absl::string_view advice;
  absl::string_view option = "";
  v1::CheckFinding::Level level = v1::CheckFinding::LEVEL_BLOCKER;
  bool will_pass = false;
};

// Findings, of which those of the same rule are counted, not listed.  Not
// thread-safe.
class FindingList {
 public:
  // Of the dump; borrowed as long as the list lives.
  explicit FindingList(const v1::CriuOptions& options) : options_(options) {}

  const v1::CriuOptions& options() const { return options_; }
  std::vector<v1::CheckFinding> Take() { return std::move(findings_); }

  // Where the dump has a CRIU configuration file, which may hold the option of
  // the rule, a blocker is a warning.  `fd`: null for none.
  void Add(const Rule& rule, absl::string_view found,
           const SurveyedProcess* process = nullptr,
           const SurveyedFd* fd = nullptr, absl::string_view path = "");
  // One that was made elsewhere.
  void Add(v1::CheckFinding finding) {
    findings_.push_back(std::move(finding));
  }

  // Whether --external has one that begins so.
  bool HasExternal(absl::string_view prefix) const;

 private:
  const v1::CriuOptions& options_;
  std::vector<v1::CheckFinding> findings_;
};

// Files, devices, mappings, terminals, sessions, namespaces, threads.
void JudgeJob(const JobSurvey& survey, FindingList& list);
// Sockets (socket_findings.cc).
void JudgeSockets(const JobSurvey& survey, FindingList& list);

// "descriptor 3 of process 12 (sh)"
std::string FdName(const SurveyedProcess& process, const SurveyedFd& fd);

}  // namespace ckpt::checkpoint

#endif  // CKPT_CHECKPOINT_JOB_FINDINGS_H_
