#include "cli/operation_printer.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/render.h"

namespace ckpt::cli {
namespace {

bool IsStep(const v1::Operation& before, const v1::Operation& now) {
  return before.id() != now.id() || before.state() != now.state() ||
         before.phase() != now.phase() ||
         before.migration_state() != now.migration_state() ||
         before.cancel_requested() != now.cancel_requested();
}

int Tenth(const v1::Operation& operation) {
  return static_cast<int>(operation.progress().percent()) / 10;
}

}  // namespace

bool OnTerminal() { return ::isatty(STDERR_FILENO) == 1; }

void DrawnLine::Draw(const std::string& text) {
  drawn_ = true;
  std::fputs(absl::StrCat("\r\033[K", text).c_str(), stderr);
}

void DrawnLine::Erase() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

absl::Status OperationPrinter::Show(const v1::Operation& now) {
  const bool step = IsStep(shown_, now);
  if (!json_ && !step && on_terminal_) {
    line_.Draw(RenderPhase(now));
    return absl::OkStatus();
  }
  if (!json_ && !step && Tenth(now) <= Tenth(shown_)) return absl::OkStatus();
  line_.Erase();
  CKPT_RETURN_IF_ERROR(emit_(now, RenderOperation(now)));
  shown_ = now;
  return absl::OkStatus();
}

}  // namespace ckpt::cli
