#include "agent/policy_source.h"

namespace ckpt::agent {

PolicySource::PolicySource(const std::string& file,
                           const std::string& default_file)
    : path_(file.empty() ? default_file : file), required_(!file.empty()) {}

absl::StatusOr<Policy> PolicySource::Load() {
  auto policy = Policy::Load(path_);
  if (!required_ && absl::IsNotFound(policy.status())) {
    return Policy::WithoutFile();
  }
  required_ = required_ || policy.ok();
  return policy;
}

}  // namespace ckpt::agent
