#include "libckpt/callbacks.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libckpt/error.h"

struct registered {
  int handle; /* 0: free */
  struct ckpt_callbacks callbacks;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct registered registry[CKPT_CALLBACKS_MOST]; /* by age; `lock` */
static int registered_count;                            /* `lock` */
static int last_handle;                                 /* `lock` */
static atomic_int overdue;

/* One call of one function. */
struct call {
  int (*plain)(void *); /* this, or ... */
  int (*with_result)(void *, long);
  void *data;
  long result;
  unsigned limit_ms;
  /* The rest is for a call in a thread of its own. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int returned;  /* `lock` */
  int abandoned; /* `lock`: nobody waits; the thread frees this */
  int status;    /* `lock` */
};

static int Call(const struct call *call) {
  return call->plain != NULL ? call->plain(call->data)
                             : call->with_result(call->data, call->result);
}

static void FreeCall(struct call *call) {
  pthread_cond_destroy(&call->changed);
  pthread_mutex_destroy(&call->lock);
  free(call);
}

static void *RunCall(void *argument) {
  struct call *call = argument;
  const int status = Call(call);
  pthread_mutex_lock(&call->lock);
  call->status = status;
  call->returned = 1;
  const int abandoned = call->abandoned;
  pthread_cond_signal(&call->changed);
  pthread_mutex_unlock(&call->lock);
  if (abandoned) {
    FreeCall(call);
    atomic_fetch_sub(&overdue, 1);
  }
  return NULL;
}

static struct timespec InMilliseconds(unsigned limit_ms) {
  struct timespec when;
  clock_gettime(CLOCK_MONOTONIC, &when);
  when.tv_sec += limit_ms / 1000;
  when.tv_nsec += (long)(limit_ms % 1000) * 1000000;
  if (when.tv_nsec >= 1000000000) {
    when.tv_nsec -= 1000000000;
    ++when.tv_sec;
  }
  return when;
}

/* 0, or ETIMEDOUT. */
static int AwaitReturn(struct call *call) {
  const struct timespec when = InMilliseconds(call->limit_ms);
  int error = 0;
  pthread_mutex_lock(&call->lock);
  while (!call->returned && error == 0) {
    error = pthread_cond_timedwait(&call->changed, &call->lock, &when);
  }
  if (!call->returned) {
    call->abandoned = 1;
    atomic_fetch_add(&overdue, 1);
  }
  const int abandoned = call->abandoned;
  pthread_mutex_unlock(&call->lock);
  return abandoned ? ETIMEDOUT : 0;
}

static struct call *MakeCall(const struct call *what) {
  struct call *call = malloc(sizeof *call);
  if (call == NULL) return NULL;
  *call = *what;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&call->lock, NULL);
  pthread_cond_init(&call->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  return call;
}

/* 0, ECANCELED (it said no), ETIMEDOUT, or EAGAIN (no thread could be had). */
static int RunWithLimit(const struct call *what) {
  if (what->limit_ms == 0) return Call(what) == 0 ? 0 : ECANCELED;
  struct call *call = MakeCall(what);
  if (call == NULL) return EAGAIN;
  pthread_t thread;
  if (pthread_create(&thread, NULL, RunCall, call) != 0) {
    FreeCall(call);
    return EAGAIN;
  }
  if (AwaitReturn(call) != 0) {
    pthread_detach(thread);
    return ETIMEDOUT;
  }
  pthread_join(thread, NULL); /* it would be dumped otherwise */
  const int status = call->status;
  FreeCall(call);
  return status == 0 ? 0 : ECANCELED;
}

static const char *Describe(int error) {
  return error == ECANCELED   ? "failed"
         : error == ETIMEDOUT ? "did not return within its limit"
                              : "was not called: no thread could be started";
}

void ckpt_callbacks_snapshot(struct ckpt_callback_set *set) {
  pthread_mutex_lock(&lock);
  set->count = registered_count;
  set->first_begun = registered_count;
  for (int i = 0; i < registered_count; ++i) {
    set->callbacks[i] = registry[i].callbacks;
  }
  pthread_mutex_unlock(&lock);
}

long ckpt_callbacks_before(struct ckpt_callback_set *set) {
  while (set->first_begun > 0) {
    const struct ckpt_callbacks *next = &set->callbacks[set->first_begun - 1];
    if (next->before != NULL) {
      const struct call call = {.plain = next->before,
                                .data = next->data,
                                .limit_ms = next->before_limit_ms};
      const int error = RunWithLimit(&call);
      if (error != 0) {
        return ckpt_fail(error,
                         "a callback before the checkpoint %s; the checkpoint "
                         "was cancelled, and the job runs on",
                         Describe(error));
      }
    }
    --set->first_begun;
  }
  return 0;
}

void ckpt_callbacks_after(const struct ckpt_callback_set *set, long result) {
  for (int i = set->first_begun; i < set->count; ++i) {
    const struct ckpt_callbacks *next = &set->callbacks[i];
    if (next->after == NULL) continue;
    const struct call call = {.with_result = next->after,
                              .data = next->data,
                              .result = result,
                              .limit_ms = next->after_limit_ms};
    const int error = RunWithLimit(&call);
    /* What made the checkpoint fail is the better message. */
    if (error != 0 && result >= 0) {
      ckpt_complain("the checkpoint was made, but a callback after it %s",
                    Describe(error));
    }
  }
}

void ckpt_callbacks_restart(const struct ckpt_callback_set *set) {
  for (int i = 0; i < set->count; ++i) {
    const struct ckpt_callbacks *next = &set->callbacks[i];
    if (next->restart == NULL) continue;
    const struct call call = {.plain = next->restart,
                              .data = next->data,
                              .limit_ms = next->restart_limit_ms};
    const int error = RunWithLimit(&call);
    if (error != 0) {
      ckpt_complain("the process was restarted, but a callback after that %s",
                    Describe(error));
    }
  }
}

int ckpt_callbacks_overdue(void) { return atomic_load(&overdue); }

int ckpt_register(const struct ckpt_callbacks *callbacks) {
  if (callbacks == NULL || callbacks->size != sizeof *callbacks) {
    errno = EINVAL;
    return -1;
  }
  int handle = -1;
  pthread_mutex_lock(&lock);
  if (registered_count < CKPT_CALLBACKS_MOST) {
    handle = ++last_handle;
    registry[registered_count].handle = handle;
    registry[registered_count].callbacks = *callbacks;
    ++registered_count;
  }
  pthread_mutex_unlock(&lock);
  if (handle < 0) errno = ENOSPC;
  return handle;
}

int ckpt_unregister(int handle) {
  int found = 0;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < registered_count; ++i) {
    if (registry[i].handle == handle) {
      memmove(&registry[i], &registry[i + 1],
              (size_t)(registered_count - i - 1) * sizeof registry[0]);
      --registered_count;
      found = 1;
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  if (found) return 0;
  errno = ENOENT;
  return -1;
}
