#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libckpt/answer.h"
#include "libckpt/callbacks.h"
#include "libckpt/ckpt.h"
#include "libckpt/error.h"
#include "libckpt/helper.h"
#include "libckpt/service.h"
#include "proto/mailbox.h"
#include "proto/self_request.h"

_Static_assert(CKPT_TREE == CKPT_SELF_REQUEST_TREE &&
                   CKPT_CGROUP == CKPT_SELF_REQUEST_CGROUP &&
                   CKPT_EXIT == CKPT_SELF_REQUEST_EXIT &&
                   CKPT_ASYNC == CKPT_SELF_REQUEST_ASYNC,
               "both sides agree on the flags");

enum {
  kDefaultTimeoutMs = 120 * 1000,
  kMostArguments = 64,
};

/* The process of which a thread is in ckpt_self(); 0: none.  A child that was
 * forked meanwhile has a copy with its parent's number. */
static atomic_int busy;

static int Enter(void) {
  const int self = (int)getpid();
  int holder = 0;
  while (!atomic_compare_exchange_strong(&busy, &holder, self)) {
    if (holder == self) return 0;
  }
  return 1;
}

static void Leave(void) { atomic_store(&busy, 0); }

/* Whether `path` is a program. */
static int IsProgram(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
         access(path, X_OK) == 0;
}

static int FindInPath(char *path, size_t size) {
  const char *directories = getenv("PATH");
  if (directories == NULL) directories = "/usr/local/bin:/usr/bin:/bin";
  while (*directories != '\0') {
    const size_t length = strcspn(directories, ":");
    if (length > 0) {
      snprintf(path, size, "%.*s/ckpt", (int)length, directories);
      if (IsProgram(path)) return 1;
    }
    directories += length;
    if (*directories == ':') ++directories;
  }
  return 0;
}

static long FindProgram(const struct ckpt_options *options, char *path,
                        size_t size) {
  const char *name = options->program;
  if (name == NULL) name = getenv("CKPT_BINARY");
  if (name == NULL || name[0] == '\0') {
    if (FindInPath(path, size)) return 0;
    return ckpt_fail(ENOENT,
                     "there is no program ckpt in PATH; install it, or name it "
                     "by options.program or $CKPT_BINARY; nothing was touched");
  }
  if ((size_t)snprintf(path, size, "%s", name) < size && IsProgram(path)) {
    return 0;
  }
  return ckpt_fail(ENOENT, "%s is no program; nothing was touched", name);
}

/* The helper's command line. */
struct command {
  char pid[16];
  char mailbox[32];
  char request[32];
  char timeout[24];
  char keep[16];
  char image[64];
  char *argv[32 + kMostArguments];
  int count;
};

static void Add(struct command *command, const char *word) {
  command->argv[command->count++] = (char *)word;
}

static void AddPair(struct command *command, const char *flag,
                    const char *value) {
  Add(command, flag);
  Add(command, value);
}

/* COMMAND-PID, of what a name may hold. */
static void DefaultImage(char *name, size_t size) {
  snprintf(name, size, "%s-%d", program_invocation_short_name, (int)getpid());
  for (char *c = name; *c != '\0'; ++c) {
    const int good = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("_-", *c) != NULL;
    if (!good) *c = '_';
  }
}

static unsigned TimeoutMs(const struct ckpt_options *options) {
  return options->timeout_ms == 0 ? kDefaultTimeoutMs : options->timeout_ms;
}

static long MakeCommand(struct command *command, unsigned flags,
                        const struct ckpt_options *options,
                        const struct ckpt_mailbox *mailbox) {
  memset(command, 0, sizeof *command);
  const unsigned timeout_ms = TimeoutMs(options);
  snprintf(command->pid, sizeof command->pid, "%d", (int)getpid());
  snprintf(command->mailbox, sizeof command->mailbox, "%p",
           (const void *)mailbox);
  snprintf(command->request, sizeof command->request, "%llu",
           (unsigned long long)mailbox->request);
  snprintf(command->timeout, sizeof command->timeout, "%ums", timeout_ms);
  snprintf(command->keep, sizeof command->keep, "%u", options->keep);
  DefaultImage(command->image, sizeof command->image);
  Add(command, "ckpt");
  Add(command, "self-dump");
  AddPair(command, "--pid", command->pid);
  AddPair(command, "--mailbox", command->mailbox);
  AddPair(command, "--request", command->request);
  AddPair(command, "--timeout", command->timeout);
  AddPair(command, "--image",
          options->image != NULL ? options->image : command->image);
  if (options->store != NULL) AddPair(command, "--store", options->store);
  if (options->keep > 0) AddPair(command, "--keep", command->keep);
  if (flags & CKPT_TREE) Add(command, "--tree");
  if (flags & CKPT_CGROUP) Add(command, "--group");
  if (options->cgroup != NULL) AddPair(command, "--cgroup", options->cgroup);
  if (flags & CKPT_EXIT) Add(command, "--exit");
  if (flags & CKPT_ASYNC) Add(command, "--early");
  for (int i = 0; options->arguments != NULL && options->arguments[i] != NULL;
       ++i) {
    if (i == kMostArguments) {
      return ckpt_fail(EINVAL, "more than %d arguments; nothing was touched",
                       (int)kMostArguments);
    }
    Add(command, options->arguments[i]);
  }
  return 0;
}

/* Callers built with an older ckpt.h have a smaller structure: what it lacks is
 * zero.  One that is larger, and says something there, is too new for us. */
static long CopyOptions(struct ckpt_options *options,
                        const struct ckpt_options *given) {
  memset(options, 0, sizeof *options);
  if (given == NULL) return 0;
  const size_t least = offsetof(struct ckpt_options, image);
  if (given->size < least) {
    return ckpt_fail(EINVAL,
                     "options.size is %zu; use CKPT_OPTIONS_INIT; nothing was "
                     "touched",
                     given->size);
  }
  for (size_t i = sizeof *options; i < given->size; ++i) {
    if (((const char *)given)[i] == 0) continue;
    return ckpt_fail(EINVAL,
                     "the program uses options that this libckpt does not "
                     "know: install a newer one; nothing was touched");
  }
  memcpy(options, given,
         given->size < sizeof *options ? given->size : sizeof *options);
  return 0;
}

static long Check(unsigned flags, const struct ckpt_options *options) {
  if (ckpt_callbacks_overdue() > 0) {
    return ckpt_fail(EBUSY,
                     "a callback of an earlier checkpoint has not returned "
                     "yet; nothing was touched");
  }
  if ((flags & ~(CKPT_TREE | CKPT_CGROUP | CKPT_EXIT | CKPT_ASYNC)) != 0) {
    return ckpt_fail(EINVAL, "flags 0x%x are not known; nothing was touched",
                     flags);
  }
  if ((flags & CKPT_TREE) && (flags & CKPT_CGROUP)) {
    return ckpt_fail(EINVAL,
                     "CKPT_TREE and CKPT_CGROUP exclude each other; nothing "
                     "was touched");
  }
  if ((flags & CKPT_EXIT) && (flags & CKPT_ASYNC)) {
    return ckpt_fail(EINVAL,
                     "CKPT_EXIT and CKPT_ASYNC exclude each other; nothing was "
                     "touched");
  }
  if (options->cgroup != NULL && !(flags & CKPT_CGROUP)) {
    return ckpt_fail(EINVAL,
                     "options.cgroup goes with CKPT_CGROUP; nothing was "
                     "touched");
  }
  return 0;
}

/* Whether this process can start `ckpt` outside of the job, and which. */
static long CheckStart(const struct ckpt_options *options, char *program,
                       size_t size) {
  if (geteuid() != 0) {
    return ckpt_fail(EPERM,
                     "a checkpoint needs root, and this is user %u; nothing "
                     "was touched",
                     (unsigned)geteuid());
  }
  if (getpid() == 1) {
    return ckpt_fail(
        ENOTSUP,
        "whatever process 1 of a PID namespace starts stays in its "
        "tree, and no service outside listens at $CKPT_SOCKET or "
        "%s: start one (ckpt self-serve) and let it be seen here; "
        "nothing was touched",
        CKPT_SELF_SOCKET);
  }
  return FindProgram(options, program, size);
}

/* A path as somebody in another directory is to read it.  0, or an errno value;
 * relative paths with "." and ".." stay such, below our directory. */
static int MakeAbsolute(const char *path, char *absolute, size_t size) {
  size_t used = 0;
  if (path[0] != '/') {
    if (getcwd(absolute, size) == NULL) return errno;
    used = strlen(absolute);
    if (used + 1 < size && used > 1) absolute[used++] = '/';
  }
  return (size_t)snprintf(absolute + used, size - used, "%s", path) <
                 size - used
             ? 0
             : ENAMETOOLONG;
}

/* Adds a name, or a path as an absolute one. */
static int AddName(struct ckpt_service *service, const char *name,
                   int is_path) {
  char absolute[4096];
  if (!is_path) return ckpt_service_add(service, name);
  const int error = MakeAbsolute(name, absolute, sizeof absolute);
  return error != 0 ? error : ckpt_service_add(service, absolute);
}

static long MakeRequest(struct ckpt_service *service, unsigned flags,
                        const struct ckpt_options *options,
                        const struct ckpt_mailbox *mailbox) {
  char image[64];
  struct ckpt_self_request *request = &service->request;
  DefaultImage(image, sizeof image);
  request->mailbox = (uintptr_t)mailbox;
  request->request = mailbox->request;
  request->flags = flags;
  request->timeout_ms = TimeoutMs(options);
  request->keep = options->keep;
  const char *name = options->image != NULL ? options->image : image;
  int error = AddName(service, name, strchr(name, '/') != NULL);
  name = options->store != NULL ? options->store : "";
  if (error == 0) error = AddName(service, name, name[0] != '\0');
  name = options->cgroup != NULL ? options->cgroup : "";
  if (error == 0) error = AddName(service, name, 0);
  for (int i = 0; options->arguments != NULL && options->arguments[i] != NULL;
       ++i) {
    if (error == 0) error = ckpt_service_add(service, options->arguments[i]);
  }
  if (error == 0) return 0;
  if (error != EINVAL) {
    return ckpt_fail(error,
                     "the image's or store's path cannot be made absolute: %s; "
                     "nothing was touched",
                     strerror(error));
  }
  return ckpt_fail(EINVAL, "names and arguments have more than %d bytes",
                   CKPT_SELF_REQUEST_TEXT_BYTES);
}

/* By a service outside of the job, if one listens. */
static long AskService(struct ckpt_service *service, unsigned flags,
                       const struct ckpt_options *options) {
  const struct ckpt_mailbox *mailbox = ckpt_answer_prepare();
  if (MakeRequest(service, flags, options, mailbox) != 0) return -1;
  return ckpt_answer_await_service(service, TimeoutMs(options),
                                   (flags & CKPT_ASYNC) != 0);
}

/* By a `ckpt` that is started for it. */
static long StartHelper(unsigned flags, const struct ckpt_options *options,
                        const char *program) {
  struct command command;
  struct ckpt_helper helper;
  const struct ckpt_mailbox *mailbox = ckpt_answer_prepare();
  if (MakeCommand(&command, flags, options, mailbox) != 0) return -1;
  const int error = ckpt_helper_start(&helper, program, command.argv);
  if (error != 0) {
    return ckpt_fail(error, "%s cannot be started: %s; nothing was touched",
                     program, strerror(error));
  }
  return ckpt_answer_await(&helper, TimeoutMs(options),
                           (flags & CKPT_ASYNC) != 0);
}

static long CheckpointWithCallbacks(unsigned flags,
                                    const struct ckpt_options *given) {
  struct ckpt_options options;
  char program[4096];
  static struct ckpt_service service; /* of the one thread that is in here */
  struct ckpt_callback_set callbacks;
  if (CopyOptions(&options, given) != 0) return -1;
  if (Check(flags, &options) != 0) return -1;
  /* Not the machine's, if another program is named. */
  const int is_served = ckpt_service_find(&service, options.program == NULL);
  if (!is_served && CheckStart(&options, program, sizeof program) != 0) {
    return -1;
  }
  if (ckpt_answer_settle() != 0) return -1;
  ckpt_callbacks_snapshot(&callbacks);
  long result = ckpt_callbacks_before(&callbacks);
  if (result == 0) {
    result = is_served ? AskService(&service, flags, &options)
                       : StartHelper(flags, &options, program);
  }
  const int error = errno;
  if (result == 0) {
    ckpt_callbacks_restart(&callbacks);
  } else {
    ckpt_callbacks_after(&callbacks, result);
  }
  errno = error;
  return result;
}

long ckpt_self(unsigned flags, const struct ckpt_options *options) {
  ckpt_forget_error();
  if (!Enter()) {
    return ckpt_fail(EBUSY,
                     "this process is being checkpointed already; nothing was "
                     "touched");
  }
  int cancel_state;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  const long result = CheckpointWithCallbacks(flags, options);
  pthread_setcancelstate(cancel_state, NULL);
  Leave();
  return result;
}
