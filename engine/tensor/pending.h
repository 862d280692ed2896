/* pending.h -- results that wait: an elementwise operation gives a storage without memory and a
 * note of what its bytes will be. Whoever needs them has them computed, together with what they
 * wait for, in one loop (fused.h), to the bits that one operation after the other gives. What
 * nobody needs is never computed.
 *
 * Results wait only where the caller said so beforehand. A storage that others wait to read is not
 * written before they have read it; storage_settle_to_change sees to that. */
#ifndef HONE_PENDING_H
#define HONE_PENDING_H

#include "tensor/device.h"

typedef struct pending pending;

/* ---- who may wait -----------------------------------------------------------------------------
 */

enum pending_mode { PENDING_NEVER, PENDING_ON_DEVICES, PENDING_EVERYWHERE };

/* Also ends the span in which copies of devices' bytes (below) count as what the bytes are. */
void pending_set_mode(enum pending_mode mode);
enum pending_mode pending_get_mode(void);
/* May the results of the calls that follow wait, where the mode lets them? Gives what held before.
 */
bool pending_allow(bool allow);
bool pending_allowed_on(int device);
bool pending_may_be_on(int device); /* when they are allowed to */

/* A contiguous tensor that waits for pending_note, or as tensor_empty where it may not. */
int pending_result(tensor *out, dtype dtype, int device, int rank, const int64_t *shape,
                   tensor_error *error);
bool storage_is_blank(const storage *s);
/* Note the work for the storage of w->to, which is blank. */
int pending_note(const elementwise_work *w, tensor_error *error);
/* Work whose operands, or whose target, wait; 1 where it has to be done at once, now that none
 * does. */
int pending_work(const elementwise_work *w, tensor_error *error);
/* Is anything left to do for the bytes of the storage? */
static inline bool storage_waits(const storage *s) {
  return s->pending || (s->copy && !s->data);
}
/* Does nothing wait that has to do with it, and is it known nowhere else? */
static inline bool storage_is_plain(const storage *s) {
  return s->data && !s->pending && !s->readers && !s->copy;
}
/* Let go of a note: nobody refers to its storage any more. */
void pending_drop(pending *p);

/* ---- who needs them now -----------------------------------------------------------------------
 */

int storage_settle(storage *s, tensor_error *error);
/* The same, and for all that wait to read it: it will be written. */
int storage_settle_to_change(storage *s, tensor_error *error);
/* t as it can be read: of what waits only the part that t is, where that is little of it. */
int pending_read(tensor *out, const tensor *t, tensor_error *error);
/* to = from, which waits and lies on to's device; 1 where it does not wait any more. */
int pending_copy(tensor *to, const tensor *from, tensor_error *error);
/* a b of matrices, or of batches of them, where b waits and has not to be written for it; 1 where
 * it has, or nothing is known to be won. */
int pending_product(tensor *out, const tensor *a, const tensor *b, tensor_error *error);
/* Is t a cast, still to come, of something much larger than what would be made of a few elements of
 * it? Then that, in t's shape, in *source: elements of it may be taken first and cast later. */
bool pending_is_cast_of(tensor *source, const tensor *t, tensor_error *error);
/* So many elements of t were computed for somebody else. */
void pending_count(const tensor *t, int64_t computed);
/* Bytes that were allocated for results since the last call. */
size_t pending_bytes_made(void);

/* ---- what a device holds, on the CPU ----------------------------------------------------------
 */

/* Whether a device is waited for where the CPU has no copy yet. Flags of floats may well be meant
 * for the device alone. */
enum host_ask { HOST_HAS, HOST_ASKS_INTEGERS, HOST_ASKS };

/* t's elements on the CPU: of a small storage that is not written meanwhile, copied there once, or
 * computed there of such ones by operations that are exact. False where the device has to be asked
 * for them. */
bool tensor_on_host(tensor *out, const tensor *t, enum host_ask ask);
/* A tensor on a device whose bytes are on the CPU until somebody needs them there. */
int tensor_from_host(tensor *out, const tensor *t, int device, tensor_error *error);

#endif
