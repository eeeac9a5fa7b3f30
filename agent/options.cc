#include "agent/options.h"

#include <cstdint>
#include <functional>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "proto/self_request.h"

namespace ckpt::agent {
namespace {

constexpr uint32_t kMaxWorkers = 64;

absl::Status Invalid(const std::string& flag, const std::string& value,
                     absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, " '", value, "' is not ", wanted));
}

absl::Status SetGroup(const std::string& value, UserNames& names,
                      Options& options) {
  gid_t gid = 0;
  if (!absl::SimpleAtoi(value, &gid)) {
    CKPT_ASSIGN_OR_RETURN(gid, names.GroupNumber(value));
  }
  options.group = gid;
  return absl::OkStatus();
}

absl::Status SetDataPort(const std::string& value, Options& options) {
  if (value == "none") {
    options.data_port = {.kind = Options::DataPort::Kind::kNone};
    return absl::OkStatus();
  }
  uint32_t port = 0;
  if (!absl::SimpleAtoi(value, &port) || port > UINT16_MAX) {
    return Invalid("data-port", value, "a port from 0 to 65535, or none");
  }
  options.data_port = {.kind = Options::DataPort::Kind::kGiven,
                       .port = static_cast<uint16_t>(port)};
  return absl::OkStatus();
}

absl::Status Set(const std::string& flag, const std::string& value,
                 UserNames& names, Options& options) {
  const std::map<std::string, std::string*> texts = {
      {"socket", &options.socket},   {"policy", &options.policy_file},
      {"listen", &options.listen},   {"advertise", &options.advertise},
      {"tls-ca", &options.tls.ca},   {"tls-cert", &options.tls.cert},
      {"tls-key", &options.tls.key}, {"store", &options.store},
      {"criu", &options.criu},       {"ckpt", &options.ckpt},
      {"metrics", &options.metrics}};
  if (const auto text = texts.find(flag); text != texts.end()) {
    *text->second = value;
    return absl::OkStatus();
  }
  if (flag == "self-socket") {
    options.self_socket = value;
    return absl::OkStatus();
  }
  if (flag == "data-port") return SetDataPort(value, options);
  if (flag == "group") return SetGroup(value, names, options);
  if (flag == "workers") {
    uint32_t workers = 0;
    if (!absl::SimpleAtoi(value, &workers) || workers == 0 ||
        workers > kMaxWorkers) {
      return Invalid(flag, value, "a number from 1 to 64");
    }
    options.workers = workers;
    return absl::OkStatus();
  }
  if (flag == "stop-timeout") {
    if (!absl::ParseDuration(value, &options.stop_timeout) ||
        options.stop_timeout < absl::ZeroDuration()) {
      return Invalid(flag, value, "a duration such as 60s or 2m");
    }
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown option --", flag));
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& words,
                                     UserNames& names) {
  Options options;
  for (size_t i = 0; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (!absl::ConsumePrefix(&word, "--")) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", words[i], "' is no option"));
    }
    if (word == "help" || word == "version") {
      (word == "help" ? options.help : options.version) = true;
      continue;
    }
    const size_t equals = word.find('=');
    const std::string flag(word.substr(0, equals));
    std::string value;
    if (equals != absl::string_view::npos) {
      value = std::string(word.substr(equals + 1));
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, " is unknown, or lacks its value"));
    }
    CKPT_RETURN_IF_ERROR(Set(flag, value, names, options));
  }
  // A second agent of a machine, at a socket of its own, is not the one that
  // programs look for.
  if (!options.self_socket.has_value()) {
    options.self_socket = options.socket.empty() ? CKPT_SELF_SOCKET : "";
  }
  return options;
}

std::string Usage() {
  return "usage: ckptd [OPTION...]\n\n"
         "Does for other programs what ckpt does: man "
         "ckptd.\n\n"
         "  --socket PATH      where it listens (/run/ckpt/ckptd.sock)\n"
         "  --group NAME       the group of users that may connect, besides "
         "root\n"
         "  --policy FILE      who may do what (/etc/ckpt/policy; without one, "
         "root alone)\n"
         "  --advertise HOST:PORT  how other nodes reach it, if not as it "
         "listens\n"
         "  --listen HOST:PORT where it listens for other machines, by mutual "
         "TLS (nowhere)\n"
         "  --data-port N      where images' data come in, by TLS, or none "
         "(the one after it)\n"
         "  --tls-ca FILE      authority of their certificates "
         "(/etc/ckpt/tls/ca.pem)\n"
         "  --tls-cert FILE    this node's certificate (cert.pem there)\n"
         "  --tls-key FILE     its key (key.pem there)\n"
         "  --metrics HOST:PORT where Prometheus finds metrics, by HTTP "
         "(nowhere)\n"
         "  --store DIR        where images live (/var/lib/ckpt)\n"
         "  --criu PATH        the CRIU to run ($CKPT_CRIU, /opt/ckpt, PATH)\n"
         "  --self-socket PATH where programs ask for their own checkpoints "
         "(/run/ckpt/self.sock;\n"
         "                     none with --socket)\n"
         "  --ckpt PATH        the ckpt that makes these (beside ckptd, then "
         "PATH)\n"
         "  --workers N        dumps and restores at a time (4)\n"
         "  --stop-timeout D   how long a stop waits for those that run (60s)\n"
         "  --version, --help\n";
}

}  // namespace ckpt::agent
