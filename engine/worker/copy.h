/* copy.h -- elements from one tensor to another of the same shape and dtype, whatever their
 * strides. */
#ifndef HONE_WORKER_COPY_H
#define HONE_WORKER_COPY_H

#include <stddef.h>

#include "worker/worker.h"

/* Elements in all; bytes of one (of a pair, for those that share a byte). */
int64_t worker_count(const worker_tensor *tensor);
size_t worker_element_bytes(const worker_tensor *tensor);

/* The address of the first element. */
char *worker_first(const worker_tensor *tensor);

/* Both on the CPU, or both on one CUDA device, whose context is current; on a device done after
 * worker_copied. strides of `from` may be NULL. Returns NULL, or why not. */
const char *worker_copy(const worker_tensor *to, const worker_tensor *from);

/* Wait for all copies on the current device. Returns NULL, or why not. */
const char *worker_copied(void);

/* Write the bytes of a tensor's first element. Returns NULL, or why not. */
const char *worker_write(const worker_tensor *to, const void *element, size_t bytes);

#endif
