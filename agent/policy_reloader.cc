#include "agent/policy_reloader.h"

#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace ckpt::agent {
namespace {

std::string Outcome(const absl::StatusOr<Policy>& policy) {
  if (policy.ok()) {
    return absl::StrCat("policy reloaded, ", policy->rule_count(),
                        policy->rule_count() == 1 ? " rule" : " rules");
  }
  // A name in the file may have the end of a line in it.
  return absl::StrCat(
      "policy not reloaded, the one before stays in force: ",
      absl::StrReplaceAll(policy.status().message(), {{"\n", " "}}),
      "; put that right and reload again");
}

}  // namespace

PolicyReloader::PolicyReloader(Parts parts)
    : parts_(std::move(parts)), thread_([this] { Run(); }) {}

PolicyReloader::~PolicyReloader() { thread_.join(); }

void PolicyReloader::Run() const {
  while (!parts_.stop.cancelled()) {
    pollfd fds[] = {{parts_.asked_fd, POLLIN, 0},
                    {parts_.stop.fd(), POLLIN, 0}};
    (void)::poll(fds, 2, -1);
    uint64_t times = 0;
    if (!parts_.stop.cancelled() &&
        ::read(parts_.asked_fd, &times, sizeof(times)) == sizeof(times)) {
      Reload();
    }
  }
}

void PolicyReloader::Reload() const {
  parts_.manager.TellReloading();
  auto policy = parts_.load();
  const std::string outcome = Outcome(policy);
  if (policy.ok()) parts_.gate.Use(*std::move(policy));
  parts_.log(outcome);
  // Last: whoever waits for the manager finds the policy in force.
  parts_.manager.Tell(absl::StrCat("READY=1\nSTATUS=", outcome));
}

}  // namespace ckpt::agent
