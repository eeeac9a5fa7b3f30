// Lets ThreadSanitizer see how gRPC hands the parts of a call to its threads.
//
// Debian's libgrpc.so is not built with -fsanitize=thread, and its queues work
// without locks: what a caller has put into a batch, and one of gRPC's threads
// finds there, is reported as a race in gRPC's headers, which are compiled into
// our code.  The definitions below take the place of the library's, as those of
// tsan_absl_mutex.cc do, and tell the sanitizer that a batch begins before it
// ends.
//
// Linked into every program and test by --config=tsan, and by nothing else.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>

namespace {

template <typename Function>
Function* Real(const char* symbol) {
  void* found = ::dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) std::abort();  // of a program without gRPC
  return reinterpret_cast<Function*>(found);
}

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops,
                                      size_t nops, void* tag, void* reserved) {
  static auto* const real =
      Real<decltype(grpc_call_start_batch)>("grpc_call_start_batch");
  if (tag != nullptr) __tsan_release(tag);
  return real(call, ops, nops, tag, reserved);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue,
                                      gpr_timespec deadline, void* reserved) {
  static auto* const real =
      Real<decltype(grpc_completion_queue_next)>("grpc_completion_queue_next");
  const grpc_event event = real(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE && event.tag != nullptr) {
    __tsan_acquire(event.tag);
  }
  return event;
}

}  // extern "C"
