/* parallel.h -- a loop's iterations over several threads. */
#ifndef HONE_PARALLEL_H
#define HONE_PARALLEL_H

#include <stdint.h>

typedef void parallel_body(void *context, int64_t begin, int64_t end);

/* Run body over 0..count in pieces of at least `grain`; returns when all of it is done. A call from
 * inside a body, or from a second thread at the same time, runs in its own thread alone. */
void parallel_for(int64_t count, int64_t grain, parallel_body *body, void *context);

int parallel_threads(void);
void parallel_set_threads(int threads); /* at least 1 */

#endif
