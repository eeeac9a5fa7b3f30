// ckpt: finds the verb, runs it, prints its report or its error.

#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/cancellation.h"
#include "base/lock_checks.h"
#include "checkpoint/findings.h"
#include "cli/command.h"
#include "cli/render.h"
#include "freezer/freezer.h"
#include "google/protobuf/util/json_util.h"
#include "proto/check.pb.h"
#include "proto/error.pb.h"

namespace ckpt::cli {
namespace {

// sysexits(3) EX_USAGE; other exit statuses are absl::StatusCode numbers.
constexpr int kUsageError = 64;

Cancellation* interrupted = nullptr;

void OnSignal(int /*number*/) { interrupted->Cancel(); }

void CatchSignals() {
  static Cancellation& cancellation = *new Cancellation;
  interrupted = &cancellation;
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaction(number, &action, nullptr);
  }
}

std::string Overview() {
  std::string text =
      "usage: ckpt VERB [OPTION...]\n\n"
      "Stops a running job at a consistent point, writes it to an image, and "
      "starts it again later,\nhere or on another node.\n\n";
  for (const Command& command : AllCommands()) {
    absl::StrAppendFormat(&text, "  %-13s %s\n", command.name, command.summary);
  }
  absl::StrAppend(&text,
                  "\n'ckpt VERB --help' tells more.  The exit status is 0, the "
                  "number of the error's code\n(docs/error_model.md), or 64 "
                  "for a wrong command line.\n");
  return text;
}

std::string Help(const Command& command) {
  std::string text = absl::StrCat(
      "usage: ckpt ", command.name, " [OPTION...]",
      command.positional[0] == '\0' ? "" : " ", command.positional, "\n\n",
      command.summary, "\n", command.details[0] == '\0' ? "" : "\n",
      command.details, command.details[0] == '\0' ? "" : "\n",
      "\nexample: ", command.example, "\n\n");
  std::vector<Flag> flags = command.flags;
  flags.push_back({"json", "", "print the report as JSON"});
  flags.push_back({"help", "", "print this"});
  for (const Flag& flag : flags) {
    const std::string name = absl::StrCat(
        "--", flag.name, flag.value[0] == '\0' ? "" : " ", flag.value);
    absl::StrAppendFormat(
        &text, "  %-24s%s%s\n", name,
        name.size() >= 24 ? "\n                          " : "", flag.help);
  }
  return text;
}

std::string ToJson(const google::protobuf::Message& message,
                   bool on_one_line = false) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = !on_one_line;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options)
           .ok()) {
    return "{}\n";
  }
  return json;
}

// {"error": {"code": "NOT_FOUND", "message": "..."}}
std::string ErrorJson(const absl::Status& status) {
  v1::ErrorDocument document;
  v1::ErrorDocument::Error& error = *document.mutable_error();
  error.set_code(absl::StatusCodeToString(status.code()));
  error.set_message(std::string(status.message()));
  if (const auto payload = status.GetPayload(freezer::kReportUrl)) {
    if (!error.mutable_freeze_report()->ParseFromString(
            std::string(*payload))) {
      error.clear_freeze_report();
    }
  }
  if (const auto payload = status.GetPayload(checkpoint::kCheckReportUrl)) {
    if (!error.mutable_check_report()->ParseFromString(std::string(*payload))) {
      error.clear_check_report();
    }
  }
  return ToJson(document);
}

int Fail(absl::string_view verb, const absl::Status& status, bool json) {
  if (json) std::fputs(ErrorJson(status).c_str(), stdout);
  absl::FPrintF(stderr, "ckpt %s: %s: %s\n", verb,
                absl::StatusCodeToString(status.code()), status.message());
  if (const auto payload = status.GetPayload(freezer::kReportUrl)) {
    v1::FreezeReport report;
    if (report.ParseFromString(std::string(*payload))) {
      std::fputs(RenderEvidence(report).c_str(), stderr);
    }
  }
  if (const auto payload = status.GetPayload(checkpoint::kCheckReportUrl)) {
    v1::CheckReport report;
    if (report.ParseFromString(std::string(*payload))) {
      std::fputs(RenderFindings(report).c_str(), stderr);
    }
  }
  return static_cast<int>(status.code());
}

absl::Status Print(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat("done, but the report could not be written to standard "
                   "output: ",
                   std::generic_category().message(errno)));
}

// What a verb prints while it runs.  Who reads it through a pipe gets each line
// at once.
absl::Status Emit(const google::protobuf::Message& report,
                  const std::string& text, bool json) {
  return Print(json ? absl::StrCat(ToJson(report, /*on_one_line=*/true), "\n")
                    : text);
}

int UsageError(const std::string& message, const std::string& help) {
  absl::FPrintF(stderr, "%s; see '%s --help'\n", message, help);
  return kUsageError;
}

int Execute(const Command& command, const std::vector<std::string>& words) {
  std::vector<Flag> flags = command.flags;
  flags.push_back({"json", "", ""});
  flags.push_back({"help", "", ""});
  const std::string self = absl::StrCat("ckpt ", command.name);
  const auto arguments = Arguments::Parse(flags, words);
  // The exit status of an error, where it is not the number of its code.
  const auto failure = [&](int status) {
    return command.failure_status != 0 ? command.failure_status : status;
  };
  if (!arguments.ok()) {
    return failure(UsageError(
        absl::StrCat(self, ": ", arguments.status().message()), self));
  }
  if (arguments->Has("help")) {
    std::fputs(Help(command).c_str(), stdout);
    return 0;
  }
  const bool json = arguments->Has("json");
  // An agent knows by itself what its caller may do.
  if (command.needs_root && !arguments->Has("node") && ::geteuid() != 0) {
    return failure(Fail(command.name,
                        absl::PermissionDeniedError(absl::StrCat(
                            "this needs root, and you are user ", ::geteuid(),
                            "; use sudo; nothing was touched")),
                        json));
  }
  CatchSignals();
  const auto output = command.run(
      *arguments, {.cancel = interrupted,
                   .emit = [json](const google::protobuf::Message& report,
                                  const std::string& text) {
                     return Emit(report, text, json);
                   }});
  // Who has changed something must tell by the exit status that it is done,
  // be it that nobody reads the report.
  if (command.needs_root) ::signal(SIGPIPE, SIG_IGN);
  if (!output.ok()) {
    return failure(Fail(command.name, output.status(), json));
  }
  if (output->report == nullptr) {
    return static_cast<int>(output->verdict.code());
  }
  const std::string text = json ? ToJson(*output->report) : output->text;
  const absl::Status printed = output->delivery != nullptr
                                   ? output->delivery->Deliver(text)
                                   : Print(text);
  if (!printed.ok()) return Fail(command.name, printed, false);
  if (!output->verdict.ok()) {
    absl::FPrintF(stderr, "ckpt %s: %s: %s\n", command.name,
                  absl::StatusCodeToString(output->verdict.code()),
                  output->verdict.message());
  }
  if (output->exit_status != 0) return output->exit_status;
  return static_cast<int>(output->verdict.code());
}

// Descriptors 0 to 2 that the caller has closed are not left to the files that
// we open: a report would go there.
void OccupyStandardFiles() {
  int fd;
  do {
    fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

int Main(int argc, char** argv) {
  SkipLockChecksIfOptimized();
  OccupyStandardFiles();
  if (argc < 2) {
    std::fputs(Overview().c_str(), stderr);
    return kUsageError;
  }
  const std::string verb = argv[1];
  if (verb == "--help" || verb == "-h" || verb == "help") {
    std::fputs(Overview().c_str(), stdout);
    return 0;
  }
  const std::vector<std::string> words(argv + 2, argv + argc);
  for (const Command& command : AllCommands()) {
    if (verb == command.name ||
        (verb == "--version" && std::string(command.name) == "version")) {
      return Execute(command, words);
    }
  }
  return UsageError(absl::StrCat("ckpt: unknown verb '", verb, "'"), "ckpt");
}

}  // namespace
}  // namespace ckpt::cli

int main(int argc, char** argv) { return ckpt::cli::Main(argc, argv); }
