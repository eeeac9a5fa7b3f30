/* The functions that a program wants called around its checkpoints, each within
 * its limit.
 *
 *   struct ckpt_callback_set set;
 *   ckpt_callbacks_snapshot(&set);
 *   if (ckpt_callbacks_before(&set) == 0) ... checkpoint ...
 *   ckpt_callbacks_after(&set, result);
 *
 * Thread-safe; a set is used by one thread.
 */
#ifndef CKPT_LIBCKPT_CALLBACKS_H_
#define CKPT_LIBCKPT_CALLBACKS_H_

#include "libckpt/ckpt.h"

#define CKPT_CALLBACKS_MOST 64

struct ckpt_callback_set {
  int count;
  int first_begun; /* those from here on have returned 0 from `before` */
  struct ckpt_callbacks callbacks[CKPT_CALLBACKS_MOST];
};

/* What is registered now, in the order of registration. */
void ckpt_callbacks_snapshot(struct ckpt_callback_set *set);

/* The last first.  0, or -1 with errno (ECANCELED, ETIMEDOUT, EAGAIN) and the
 * message set: no further one was called. */
long ckpt_callbacks_before(struct ckpt_callback_set *set);

/* Those that have begun.  A failure is only told by ckpt_last_error(). */
void ckpt_callbacks_after(const struct ckpt_callback_set *set, long result);
void ckpt_callbacks_restart(const struct ckpt_callback_set *set);

/* How many run on past their limit. */
int ckpt_callbacks_overdue(void);

#endif /* CKPT_LIBCKPT_CALLBACKS_H_ */
