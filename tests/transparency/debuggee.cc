// What gdb_test.cc debugs: counts, and calls a function that a breakpoint can
// be set on.  Symbols that gdb finds without debugging information.
#include <ctime>

extern "C" {
volatile int debuggee_count = 0;

__attribute__((noinline)) void debuggee_tick() {
  debuggee_count = debuggee_count + 1;
}
}

int main() {
  constexpr timespec kPause = {0, 1'000'000};
  for (;;) {
    debuggee_tick();
    ::nanosleep(&kPause, nullptr);
  }
}
