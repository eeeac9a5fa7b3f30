// Flags of one verb: a table of what it takes, parsed with getopt_long(3).
//
//   constexpr Flag kFlags[] = {{"cgroup", "X", "the group"}, {"json", "",
//   "..."}}; CKPT_ASSIGN_OR_RETURN(Arguments arguments,
//   Arguments::Parse(kFlags, words)); arguments.Get("cgroup")
//
// Thread-compatible.
#ifndef CKPT_CLI_FLAGS_H_
#define CKPT_CLI_FLAGS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ckpt::cli {

struct Flag {
  const char* name;   // without "--"
  const char* value;  // what it takes, for the help; "" for a switch
  const char* help;
};

class Arguments {
 public:
  // `words` are those after the verb.  InvalidArgument for unknown flags and
  // missing values.
  static absl::StatusOr<Arguments> Parse(const std::vector<Flag>& flags,
                                         const std::vector<std::string>& words);

  bool Has(absl::string_view name) const;
  // The last value given, or "".
  std::string Get(absl::string_view name) const;
  std::vector<std::string> GetAll(absl::string_view name) const;
  const std::vector<std::string>& positional() const { return positional_; }

  // Conversions; the value given by `name`, or the default when it is not
  // there. InvalidArgument names flag and value.
  //
  // "30", "500ms", "2h30m", and in whole or broken days, "7d"
  absl::StatusOr<double> Seconds(absl::string_view name,
                                 double otherwise) const;
  absl::StatusOr<uint64_t> Bytes(absl::string_view name) const;
  absl::StatusOr<int32_t> Number(absl::string_view name) const;

  // Exactly one positional, called `what` in the error.
  absl::StatusOr<std::string> OnlyPositional(absl::string_view what) const;
  absl::Status NoPositional() const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> positional_;
};

}  // namespace ckpt::cli

#endif  // CKPT_CLI_FLAGS_H_
