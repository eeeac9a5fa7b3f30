#include "cli/transfer.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/common.h"
#include "cli/operation_printer.h"
#include "cli/render.h"
#include "cli/text.h"
#include "rpc/image_link.h"

namespace ckpt::cli {
namespace {

// The last part of a path.
std::string NameOf(const std::string& image) {
  const size_t end = image.find_last_not_of('/');
  if (end == std::string::npos) return image;
  const size_t slash = image.rfind('/', end);
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  return image.substr(begin, end + 1 - begin);
}

}  // namespace

std::vector<Flag> WithTransferFlags(std::vector<Flag> own) {
  own.push_back({"as", "NAME", "the image's name at the other end (its own)"});
  own.push_back({"streams", "N",
                 "connections at a time, 1 to 4 (as many as processors)"});
  return WithTlsFlags(WithStoreFlag(std::move(own)));
}

absl::StatusOr<transfer::TransferOptions> TransferFlags(
    const Arguments& arguments, const Context& context) {
  transfer::TransferOptions options;
  if (arguments.Has("streams")) {
    CKPT_ASSIGN_OR_RETURN(options.streams, arguments.Number("streams"));
    if (options.streams < 1 || options.streams > 4) {
      return absl::InvalidArgumentError(
          "--streams is 1 to 4; nothing was sent");
    }
  }
  options.cancel = context.cancel;
  options.on_progress = ProgressPrinter(arguments, context);
  return options;
}

absl::StatusOr<v1::TransferReport> PushImage(const PushOrder& order,
                                             const Arguments& arguments,
                                             const Context& context) {
  CKPT_ASSIGN_OR_RETURN(const Image opened,
                        StoreFlag(arguments).Open(order.image));
  CKPT_ASSIGN_OR_RETURN(const transfer::TransferOptions options,
                        TransferFlags(arguments, context));
  v1::ImageAnnouncement announcement = transfer::AnnouncementOf(
      opened.manifest(), order.as.empty() ? NameOf(order.image) : order.as);
  announcement.set_restored_soon(order.restored_soon);
  const auto link = rpc::MakeImageLink(NodeOptions(arguments, order.node));
  return transfer::Push::Begin(*link, announcement, opened.dir_fd(), options)
      ->Finish();
}

std::string RenderTransfer(const v1::TransferReport& report,
                           const std::string& what) {
  std::string text =
      report.was_there()
          ? absl::StrCat("the very image is there already: ", report.image(),
                         "; nothing was ", what, "\n")
          : absl::StrCat(what, " ", Size(report.image_bytes()), " in ",
                         Time(report.seconds()), "\n");
  absl::StrAppend(&text, Row("image", report.image()));
  if (report.was_there()) return text;
  absl::StrAppend(&text,
                  Row("wire", absl::StrCat(Size(report.wire_bytes()),
                                           ", compressed and without zeros")));
  if (report.resumed_bytes() > 0) {
    absl::StrAppend(&text,
                    Row("resumed", absl::StrCat(Size(report.resumed_bytes()),
                                                " had arrived before")));
  }
  if (report.retries() > 0) {
    absl::StrAppend(&text, Row("retries", absl::StrCat(report.retries(),
                                                       ", as connections "
                                                       "broke")));
  }
  if (!report.data_port_problem().empty()) {
    absl::StrAppend(
        &text,
        Row("by gRPC", absl::StrCat("which is slower: the node's data port "
                                    "cannot be used: ",
                                    report.data_port_problem())));
  }
  return text;
}

std::function<void(const v1::OperationProgress&)> ProgressPrinter(
    const Arguments& arguments, const Context& context) {
  if (arguments.Has("json")) {
    return [emit = context.emit](const v1::OperationProgress& progress) {
      // Nobody may be reading any more; the transfer goes on.
      emit(progress, "").IgnoreError();
    };
  }
  if (OnTerminal()) {
    return [line = std::make_shared<DrawnLine>()](
               const v1::OperationProgress& progress) {
      line->Draw(RenderProgress(progress));
    };
  }
  return [tenth =
              std::make_shared<int>(0)](const v1::OperationProgress& progress) {
    const int now = static_cast<int>(progress.percent()) / 10;
    if (now <= *tenth) return;
    *tenth = now;
    std::fputs(absl::StrCat("ckpt: ", RenderProgress(progress), "\n").c_str(),
               stderr);
  };
}

}  // namespace ckpt::cli
