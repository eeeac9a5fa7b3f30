#include "rpc/host_port.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace ckpt::rpc {
namespace {

constexpr uint32_t kMaxPort = 65535;

bool IsOfHosts(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '-' || c == '_';
}

bool IsOfIpv6(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == ':' || c == '%' || c == '-' || c == '_';
}

}  // namespace

std::string HostPort::Text() const {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

absl::StatusOr<HostPort> ParseHostPort(const std::string& text) {
  const auto wrong = absl::InvalidArgumentError(absl::StrCat(
      "'", text, "' is not of the form HOST:PORT, such as node2:7070 or ",
      "[fd00::2]:7070"));
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return wrong;
  absl::string_view host = absl::string_view(text).substr(0, colon);
  const absl::string_view port = absl::string_view(text).substr(colon + 1);
  uint32_t number = 0;
  if (port.empty() ||
      !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(port, &number) || number > kMaxPort) {
    return wrong;
  }
  const bool bracketed = absl::ConsumePrefix(&host, "[");
  if (bracketed && !absl::ConsumeSuffix(&host, "]")) return wrong;
  if (host.empty() || !std::all_of(host.begin(), host.end(),
                                   bracketed ? &IsOfIpv6 : &IsOfHosts)) {
    return wrong;
  }
  return HostPort{.host = std::string(host),
                  .port = static_cast<uint16_t>(number)};
}

}  // namespace ckpt::rpc
