/* interrupt.h -- how long-running C learns that the user pressed Ctrl-C.
 * The host owns the flag; in stock lua5.4 there is no host and the flag does not exist. */
#ifndef HONE_INTERRUPT_H
#define HONE_INTERRUPT_H

#include <signal.h>

extern volatile sig_atomic_t hone_interrupted __attribute__((weak, visibility("default")));

/* True once SIGINT or SIGTERM came and Lua has not yet been told of it. */
static inline int hone_is_interrupted(void) {
  return &hone_interrupted != 0 && hone_interrupted != 0;
}

/* For C that raises "interrupted" itself: without this the host's hook would raise it a second
 * time, in the first line of whatever __close or __gc cleans up. */
static inline void hone_interrupt_told(void) {
  if (&hone_interrupted != 0) hone_interrupted = 0;
}

#endif
