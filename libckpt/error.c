#include "libckpt/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "libckpt/ckpt.h"
#include "proto/mailbox.h"

static __thread char last_error[CKPT_MAILBOX_BYTES];
static __thread char last_image[CKPT_MAILBOX_BYTES];

void ckpt_forget_error(void) {
  last_error[0] = '\0';
  last_image[0] = '\0';
}

long ckpt_fail(int error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  errno = error;
  return -1;
}

void ckpt_complain(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
}

void ckpt_remember_image(const char *path) {
  snprintf(last_image, sizeof last_image, "%s", path);
}

const char *ckpt_last_error(void) { return last_error; }

const char *ckpt_last_image(void) { return last_image; }
