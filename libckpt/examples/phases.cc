// Checkpoint and restart of a C++ program, with callbacks: a log file is closed
// before each checkpoint and opened again after it and after a restart.
//
// Usage: phases IMAGE STORE LOG
//
// Checkpoints itself once, with CKPT_EXIT: it ends when the image is on the
// disk.  `ckpt restore --store STORE IMAGE.1` continues it.
#include <ckpt.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace {

// A log that is not open while the process is dumped.
class Log {
 public:
  explicit Log(std::string path) : path_(std::move(path)) {
    Open();
    ckpt_callbacks callbacks = CKPT_CALLBACKS_INIT;
    callbacks.data = this;
    callbacks.before = [](void* log) {
      return static_cast<Log*>(log)->Close();
    };
    callbacks.after = [](void* log, long) {
      return static_cast<Log*>(log)->Open();
    };
    callbacks.restart = [](void* log) {
      return static_cast<Log*>(log)->Open();
    };
    handle_ = ckpt_register(&callbacks);
  }
  ~Log() { ckpt_unregister(handle_); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void Write(const std::string& line) { stream_ << line << std::endl; }

 private:
  int Open() {
    stream_.open(path_, std::ios::app);
    return stream_.is_open() ? 0 : 1;
  }
  int Close() {
    stream_.close();
    return stream_.fail() ? 1 : 0;
  }

  const std::string path_;
  std::ofstream stream_;
  int handle_ = -1;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: phases IMAGE STORE LOG\n";
    return 2;
  }
  Log log(argv[3]);
  // Something that the second phase needs from the first.
  std::vector<int> squares;
  for (int i = 0; i < 10; ++i) squares.push_back(i * i);
  log.Write("phase 1 done");

  ckpt_options options = CKPT_OPTIONS_INIT;
  options.image = argv[1];
  options.store = argv[2];
  if (ckpt_self(CKPT_EXIT, &options) < 0) {
    std::cerr << "phases: " << ckpt_last_error() << "\n";
    return 1;
  }

  int sum = 0;
  for (const int square : squares) sum += square;
  log.Write("phase 2 done, the sum is " + std::to_string(sum));
  return 0;
}
