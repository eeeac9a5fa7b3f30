#include "libckpt/answer.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libckpt/ckpt.h"
#include "libckpt/error.h"

#ifndef CKPT_ANSWER_GRACE_MS
#define CKPT_ANSWER_GRACE_MS (30 * 1000)
#endif

enum {
  /* ckpt ends by itself at the timeout, and is waited for this much longer. */
  kGraceMs = CKPT_ANSWER_GRACE_MS,
  kPollNs = 1000 * 1000,
  kRoundsPerAsking = 1000, /* of a service, again */
  kMostFailures = 30,      /* to ask it: it may be started anew */
  kRoundsPerLook = 20,     /* at whether ckpt is still there */
};

_Static_assert(sizeof(struct ckpt_mailbox) == CKPT_MAILBOX_BYTES,
               "both sides agree on the size");

/* In memory of our own, not of a file: so it is always in an image. */
static struct ckpt_mailbox mailbox __attribute__((aligned(CKPT_MAILBOX_BYTES)));

static atomic_ulong restarts;

/* What the mailbox said. */
struct answer {
  uint32_t state;
  int error;
  long number;
  char text[sizeof mailbox.text];
};

/* Who writes to the mailbox, and until when at the latest. */
struct writer {
  int is_service; /* then there is no helper that could be watched */
  struct ckpt_helper helper;
  uint64_t end_ms;
};

/* The image of the last successful call with CKPT_ASYNC. */
static struct {
  pid_t process; /* that called, as a forked child has a copy; 0: none */
  int settled;   /* `answer` is the last word */
  int told;
  struct writer writer;
  struct answer answer;
} pending; /* Lock() */

/* The process that has it; 0: none.  A child that was forked meanwhile has a
 * copy with its parent's number, and takes it over. */
static atomic_int lock_holder;

static void Lock(void) {
  const int self = (int)getpid();
  int holder = 0;
  while (!atomic_compare_exchange_strong(&lock_holder, &holder, self)) {
    if (holder == self) {
      holder = 0;
      sched_yield();
    }
  }
}

static void Unlock(void) { atomic_store(&lock_holder, 0); }

static uint64_t NowMs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t State(void) {
  return __atomic_load_n(&mailbox.state, __ATOMIC_ACQUIRE);
}

/* Copies what belongs together. */
static void Read(struct answer *answer) {
  do {
    answer->state = State();
    answer->error = mailbox.error;
    answer->number = (long)mailbox.number;
    memcpy(answer->text, mailbox.text, sizeof answer->text);
    atomic_thread_fence(memory_order_acquire);
  } while (State() != answer->state);
}

/* Whether more is to come; `early`: more than that the job goes on. */
static int IsOpen(const struct answer *answer, int early) {
  return answer->state == CKPT_MAILBOX_READY ||
         answer->state == CKPT_MAILBOX_CHANGING ||
         (!early && answer->state == CKPT_MAILBOX_WRITTEN);
}

static int IsGone(const struct writer *writer) {
  const int is_over = NowMs() > writer->end_ms;
  if (writer->is_service) return is_over;
  if (!ckpt_helper_is_alive(&writer->helper)) return 1;
  if (is_over) ckpt_helper_kill(&writer->helper);
  return is_over;
}

static void Pause(uint32_t state) {
  const struct timespec pause = {0, kPollNs};
  /* Who is stopped and let go in here looks again at once. */
  syscall(SYS_futex, &mailbox.state, FUTEX_WAIT_PRIVATE, state, &pause, NULL,
          0);
}

/* Has nobody begin any more, and takes what there is.  The last look comes
 * after the one that found the writer gone, as it writes before it ends. */
static void GiveUp(struct answer *answer) {
  uint32_t ready = CKPT_MAILBOX_READY;
  __atomic_compare_exchange_n(&mailbox.state, &ready, CKPT_MAILBOX_LEFT, 0,
                              __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  Read(answer);
}

/* Until there is an answer, or its writer is gone.  Whether anybody can know of
 * the request. */
static int Await(const struct writer *writer,
                 const struct ckpt_service *service, int early,
                 struct answer *answer) {
  int failures = 0;
  int is_known = service == NULL;
  for (unsigned round = 1;; ++round) {
    Read(answer);
    if (!IsOpen(answer, early)) return is_known;
    /* Again and again, as the service may be started anew, or be that of the
     * node on which this process is restored. */
    if (service != NULL && round % kRoundsPerAsking == 1) {
      const int error = ckpt_service_ask(service);
      failures = error == 0 ? 0 : failures + 1;
      if (error == 0) is_known = 1;
    }
    if (failures == kMostFailures ||
        (round % kRoundsPerLook == 0 && IsGone(writer))) {
      GiveUp(answer);
      return is_known;
    }
    Pause(answer->state);
  }
}

/* What a call returns that is told so. */
static long Tell(const struct answer *answer, int early) {
  if (answer->state == CKPT_MAILBOX_LEFT) {
    return ckpt_fail(EIO,
                     "ckpt, or the service, gave no answer, as when it is "
                     "killed; the job runs on; if it was dumped before this, "
                     "there may be an image, and after this it is not");
  }
  if (IsOpen(answer, early)) {
    return ckpt_fail(EIO,
                     "ckpt ended before the image was on the disk, as when it "
                     "is killed; the job runs on, and there may be an image");
  }
  if (answer->state == CKPT_MAILBOX_FAILED) {
    return ckpt_fail(answer->error, "%s", answer->text);
  }
  ckpt_remember_image(answer->text);
  return answer->state == CKPT_MAILBOX_RESTARTED ? 0 : answer->number;
}

/* 0, or -1 if it was lost. */
static long TellLoss(const struct answer *answer) {
  char why[CKPT_MAILBOX_BYTES];
  if (answer->state == CKPT_MAILBOX_DONE) return 0;
  Tell(answer, 0);
  snprintf(why, sizeof why, "%s", ckpt_last_error());
  return ckpt_fail(errno,
                   "the checkpoint before, after its call had returned: %s; "
                   "for this one nothing was touched: call again",
                   why);
}

/* Looks at the pending one: whether there is one.  Needs Lock(). */
static int Settle(void) {
  if (pending.process != getpid()) return 0;
  if (pending.settled) return 1;
  Read(&pending.answer);
  if (IsOpen(&pending.answer, 0)) {
    if (!IsGone(&pending.writer)) return 1;
    Read(&pending.answer);
  }
  pending.settled = 1;
  return 1;
}

struct ckpt_mailbox *ckpt_answer_prepare(void) {
  const uint64_t last = mailbox.request;
  Lock();
  pending.process = 0;
  Unlock();
  memset(&mailbox, 0, sizeof mailbox);
  mailbox.magic = CKPT_MAILBOX_MAGIC;
  mailbox.request = last + 1;
  return &mailbox;
}

static void MakeReady(void) {
  __atomic_store_n(&mailbox.state, CKPT_MAILBOX_READY, __ATOMIC_RELEASE);
}

static long TakeAnswer(const struct writer *writer,
                       const struct ckpt_service *service, int early) {
  struct answer answer;
  const int is_known = Await(writer, service, early, &answer);
  if (answer.state == CKPT_MAILBOX_RESTARTED) atomic_fetch_add(&restarts, 1);
  if (answer.state == CKPT_MAILBOX_LEFT && !is_known) {
    return ckpt_fail(EIO,
                     "no service listens at %s any more; nothing was touched",
                     service->address.sun_path);
  }
  const long result = Tell(&answer, early);
  if (early && result > 0) {
    Lock();
    pending.process = getpid();
    pending.settled = !IsOpen(&answer, 0);
    pending.told = pending.settled;
    pending.writer = *writer;
    pending.answer = answer;
    Unlock();
  }
  return result;
}

long ckpt_answer_await(const struct ckpt_helper *helper, unsigned timeout_ms,
                       int early) {
  const struct writer writer = {.helper = *helper,
                                .end_ms = NowMs() + timeout_ms + kGraceMs};
  MakeReady();
  return TakeAnswer(&writer, NULL, early);
}

long ckpt_answer_await_service(const struct ckpt_service *service,
                               unsigned timeout_ms, int early) {
  const struct writer writer = {.is_service = 1,
                                .end_ms = NowMs() + timeout_ms + kGraceMs};
  MakeReady();
  return TakeAnswer(&writer, service, early);
}

long ckpt_answer_settle(void) {
  for (;;) {
    Lock();
    const int is_there = Settle();
    const int settled = !is_there || pending.settled;
    long result = 0;
    if (is_there && settled && !pending.told) {
      pending.told = 1;
      result = TellLoss(&pending.answer);
    }
    Unlock();
    if (settled) return result;
    Pause(CKPT_MAILBOX_WRITTEN);
  }
}

long ckpt_wait(int timeout_ms) {
  const uint64_t start_ms = NowMs();
  ckpt_forget_error();
  for (;;) {
    long result = 0;
    Lock();
    const int is_there = Settle();
    const int is_settled = is_there && pending.settled;
    if (is_settled) {
      pending.told = 1;
      result = Tell(&pending.answer, 0);
    }
    Unlock();
    if (is_settled) return result;
    if (!is_there) {
      return ckpt_fail(ECHILD, "no checkpoint was asked for with CKPT_ASYNC");
    }
    if (timeout_ms >= 0 && NowMs() - start_ms >= (uint64_t)timeout_ms) {
      return ckpt_fail(EINPROGRESS, "the image is not on the disk yet");
    }
    Pause(CKPT_MAILBOX_WRITTEN);
  }
}

unsigned long ckpt_restarts(void) { return atomic_load(&restarts); }
