/* loop.h -- walking several strided tensors of one shape together. */
#ifndef HONE_LOOP_H
#define HONE_LOOP_H

#include "tensor/tensor.h"

#define LOOP_OPERANDS (6 + TENSOR_MAX_RANK)

typedef struct loop {
  int rank, operands;
  int64_t shape[TENSOR_MAX_RANK];
  struct {
    char *data;
    int64_t stride[TENSOR_MAX_RANK]; /* in bytes; 0 where it is broadcast; may be negative */
  } operand[LOOP_OPERANDS];
} loop;

/* n elements of every operand, each `stride` bytes apart. */
typedef void loop_body(void *context, char *const *data, const int64_t *stride, int64_t n);

void loop_start(loop *l, int rank, const int64_t *shape);
/* The next operand: t, broadcast to the loop's shape, to which it must fit. */
void loop_add(loop *l, const tensor *t);
/* Order dimensions by the first operand's strides, and merge those that lie evenly in all. */
void loop_simplify(loop *l);
/* Merge only, so that elements keep their order. */
void loop_merge(loop *l);
int64_t loop_count(const loop *l);

/* Call body until every element was had; in several threads, each at least `grain` elements, in the
 * caller's alone and in order for grain 0. */
#define LOOP_GRAIN 32768
void loop_run(const loop *l, int64_t grain, loop_body *body, void *context);
/* Elements begin up to end of it, in order, in the caller's thread. */
void loop_run_range(const loop *l, int64_t begin, int64_t end, loop_body *body, void *context);
/* Where element `index` of operand k lies. */
char *loop_at(const loop *l, int k, int64_t index);

#endif
