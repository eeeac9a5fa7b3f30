// Shows an operation while it gets on: what `ckpt ops watch` and `ckpt migrate`
// print.
//
//   OperationPrinter printer(arguments.Has("json"), OnTerminal(),
//                            context.emit);
//   remote.WatchOperation(request, cancel, [&](const v1::Operation& now) {
//     return printer.Show(now);
//   });
//
// With --json each change is an object in a line.  Else there is a line for
// each step and, where it moves an image, for each tenth of the way; on a
// terminal what is between is a line of standard error that is drawn again and
// again.
#ifndef CKPT_CLI_OPERATION_PRINTER_H_
#define CKPT_CLI_OPERATION_PRINTER_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "cli/command.h"
#include "proto/agent.pb.h"

namespace ckpt::cli {

// A line of standard error that is drawn again and again, and erased at the
// end.
class DrawnLine {
 public:
  DrawnLine() = default;
  ~DrawnLine() { Erase(); }
  DrawnLine(const DrawnLine&) = delete;
  DrawnLine& operator=(const DrawnLine&) = delete;

  void Draw(const std::string& text);
  void Erase();

 private:
  bool drawn_ = false;
};

// Whether standard error is one.
bool OnTerminal();

// By one thread.
class OperationPrinter {
 public:
  // `emit` prints a line, as Context::emit does.
  OperationPrinter(bool json, bool on_terminal, decltype(Context::emit) emit)
      : json_(json), on_terminal_(on_terminal), emit_(std::move(emit)) {}

  // Errors of `emit`.
  absl::Status Show(const v1::Operation& now);

 private:
  const bool json_;
  const bool on_terminal_;
  const decltype(Context::emit) emit_;
  v1::Operation shown_;  // what the last line told of
  DrawnLine line_;
};

}  // namespace ckpt::cli

#endif  // CKPT_CLI_OPERATION_PRINTER_H_
