#include "cli/flags.h"

#include <getopt.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

namespace ckpt::cli {
namespace {

constexpr int kFirstIndex = 1000;

absl::Status Invalid(absl::string_view name, absl::string_view value,
                     absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, " '", value, "' is not ", wanted));
}

}  // namespace

absl::StatusOr<Arguments> Arguments::Parse(
    const std::vector<Flag>& flags, const std::vector<std::string>& words) {
  std::vector<option> options;
  for (size_t i = 0; i < flags.size(); ++i) {
    options.push_back(
        {flags[i].name,
         flags[i].value[0] == '\0' ? no_argument : required_argument, nullptr,
         kFirstIndex + static_cast<int>(i)});
  }
  options.push_back({nullptr, 0, nullptr, 0});
  std::vector<std::string> copies = {"ckpt"};
  copies.insert(copies.end(), words.begin(), words.end());
  std::vector<char*> argv;
  argv.reserve(copies.size() + 1);
  for (std::string& copy : copies) argv.push_back(copy.data());
  argv.push_back(nullptr);

  Arguments arguments;
  optind = 0;  // start anew (glibc)
  opterr = 0;
  while (true) {
    // Called by one thread, at start.
    const int found = ::getopt_long(  // NOLINT(concurrency-mt-unsafe)
        static_cast<int>(copies.size()), argv.data(), ":", options.data(),
        nullptr);
    if (found == -1) break;
    if (found == '?' || found == ':') {
      const std::string word = argv[static_cast<size_t>(optind) - 1];
      return absl::InvalidArgumentError(
          found == ':'
              ? absl::StrCat("option '", word, "' needs a value")
              : absl::StrCat("unknown or ambiguous option '", word, "'"));
    }
    const Flag& flag = flags[static_cast<size_t>(found - kFirstIndex)];
    arguments.values_[flag.name].emplace_back(optarg == nullptr ? "" : optarg);
  }
  for (size_t i = static_cast<size_t>(optind); i < copies.size(); ++i) {
    arguments.positional_.emplace_back(argv[i]);
  }
  return arguments;
}

bool Arguments::Has(absl::string_view name) const {
  return values_.find(std::string(name)) != values_.end();
}

std::string Arguments::Get(absl::string_view name) const {
  const auto found = values_.find(std::string(name));
  return found == values_.end() ? "" : found->second.back();
}

std::vector<std::string> Arguments::GetAll(absl::string_view name) const {
  const auto found = values_.find(std::string(name));
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

absl::StatusOr<double> Arguments::Seconds(absl::string_view name,
                                          double otherwise) const {
  if (!Has(name)) return otherwise;
  const std::string text = Get(name);
  double seconds = 0;
  absl::Duration duration;
  absl::string_view days = text;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (absl::ConsumeSuffix(&days, "d") &&
             absl::SimpleAtod(days, &seconds)) {
    duration = absl::Hours(24) * seconds;
  } else if (!absl::ParseDuration(text, &duration)) {
    return Invalid(name, text, "a duration such as 30, 30s, 500ms, 2m or 7d");
  }
  if (duration <= absl::ZeroDuration() || duration > absl::Hours(24 * 365)) {
    return Invalid(name, text, "a duration above zero and below a year");
  }
  return absl::ToDoubleSeconds(duration);
}

absl::StatusOr<uint64_t> Arguments::Bytes(absl::string_view name) const {
  if (!Has(name)) return 0;
  std::string text = Get(name);
  uint64_t factor = 1;
  // As CRIU: K, M and G are powers of 1024; so is T.
  constexpr absl::string_view kSuffixes = "KMGT";
  const size_t suffix =
      text.empty() ? absl::string_view::npos : kSuffixes.find(text.back());
  if (suffix != absl::string_view::npos) {
    factor <<= 10 * (suffix + 1);
    text.pop_back();
  }
  uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number > UINT64_MAX / factor) {
    return Invalid(name, Get(name), "a size such as 4096, 16M or 1G");
  }
  return number * factor;
}

absl::StatusOr<int32_t> Arguments::Number(absl::string_view name) const {
  if (!Has(name)) return 0;
  int32_t number = 0;
  if (!absl::SimpleAtoi(Get(name), &number) || number <= 0) {
    return Invalid(name, Get(name), "a number above zero");
  }
  return number;
}

absl::StatusOr<std::string> Arguments::OnlyPositional(
    absl::string_view what) const {
  if (positional_.size() == 1) return positional_.front();
  return absl::InvalidArgumentError(
      positional_.empty() ? absl::StrCat(what, " is missing")
                          : absl::StrCat("one ", what, " is taken, and '",
                                         positional_[1], "' is another"));
}

absl::Status Arguments::NoPositional() const {
  if (positional_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", positional_.front(), "' is not expected here"));
}

}  // namespace ckpt::cli
