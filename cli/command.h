// A verb of the command line, as data.
#ifndef CKPT_CLI_COMMAND_H_
#define CKPT_CLI_COMMAND_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "cli/flags.h"
#include "google/protobuf/message.h"

namespace ckpt::cli {

struct Context {
  const Cancellation* cancel = nullptr;  // Ctrl-C and SIGTERM
  // Prints something while the verb still runs, at once: `text`, or with --json
  // `report` as one object in one line.  Never null.
  std::function<absl::Status(const google::protobuf::Message& report,
                             const std::string& text)>
      emit;
};

// How a report gets to standard output where that is part of the operation:
// what was done is undone if it does not.
class Delivery {
 public:
  virtual ~Delivery() = default;
  virtual absl::Status Deliver(const std::string& text) = 0;
};

// What a verb has to say: the report for programs (--json) and the text for
// people, both from the same message.  Without a report, all has been said
// (Context::emit).
struct Output {
  std::unique_ptr<google::protobuf::Message> report;
  std::string text;
  // For `check`: the report is complete, and the exit status is not 0.
  absl::Status verdict;
  // For `freeze`; null: the caller prints.
  std::unique_ptr<Delivery> delivery;
  // For `run`: the command's, in its place.
  int exit_status = 0;
};

struct Command {
  const char* name;
  const char* summary;     // one line
  const char* positional;  // "" or "IMAGE"
  const char* details;     // for --help
  const char* example;     // a line that works
  bool needs_root;
  std::vector<Flag> flags;  // without --json and --help, which all have
  absl::StatusOr<Output> (*run)(const Arguments& arguments,
                                const Context& context);
  // For `run`: the exit status of every error; 0: the number of its code, or
  // 64 for a wrong command line.
  int failure_status = 0;
};

// All verbs, in the order of the help.
const std::vector<Command>& AllCommands();

// One function a verb, in commands/VERB.cc.
Command CheckCommand();
Command DumpCommand();
Command FreezeCommand();
Command KillCommand();
Command ListCommand();
Command LogsCommand();
Command MigrateCommand();
Command OpsCommand();
Command PinCommand();
Command PsCommand();
Command PullCommand();
Command PushCommand();
Command RecoverCommand();
Command RemoveCommand();
Command RestoreCommand();
Command ResumeCommand();
Command RunCommand();
Command SelfDumpCommand();
Command SelfServeCommand();
Command ShowCommand();
Command StatusCommand();
Command StopCommand();
Command SuspendCommand();
Command ThawCommand();
Command UnpinCommand();
Command VerifyCommand();
Command VerifyFreezeCommand();
Command VersionCommand();
Command WatchCommand();

// An Output of a report and its text.
template <typename Report>
Output MakeOutput(Report report, std::string text) {
  return {std::make_unique<Report>(std::move(report)), std::move(text),
          absl::OkStatus(), nullptr, 0};
}

}  // namespace ckpt::cli

#endif  // CKPT_CLI_COMMAND_H_
