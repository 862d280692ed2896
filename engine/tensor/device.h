/* device.h -- what a device other than the CPU does for tensors. The files beside this one check
 * operands, choose dtypes and make results, on any device alike; then a device only computes. It
 * registers itself when it is first used.
 *
 * Functions return 0 or a negative code with *error filled. Their operands lie on one device, and
 * what they are given to write overlaps nothing that they read, except element for element. Work is
 * queued: only what brings elements to the host waits for it. */
#ifndef HONE_DEVICE_H
#define HONE_DEVICE_H

#include "tensor/compare.h"
#include "tensor/kernels.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

/* One of ops.def, or a choice, or a cast: `to` = op(in...), each broadcast to its shape. An operand
 * that lies on the CPU has one element, which is passed by value. */
enum elementwise_kind {
  ELEMENTWISE_CAST,
  ELEMENTWISE_UNARY,
  ELEMENTWISE_BINARY,
  ELEMENTWISE_TERNARY,
  ELEMENTWISE_WHERE /* in[0] is the condition; in[1], in[2] and to have one dtype */
};

typedef struct elementwise_work {
  enum elementwise_kind kind;
  int op;               /* an enum of kernels.h */
  compute_type compute; /* what operands are converted to; not looked at for a cast or a choice */
  dtype made;           /* what the operation gives, before it is cast to to's dtype; likewise */
  int inputs;
  const tensor *to, *in[3];
} elementwise_work;

typedef struct fused fused; /* several of them in one loop: fused.h */

/* Many elements to one (reduce.h). `to` and `indices` are contiguous, of the shape that is left of
 * in's without `dims`; of extremes either may be NULL. */
enum reduction_kind { REDUCTION_FOLD, REDUCTION_EXTREME, REDUCTION_VARIANCE, REDUCTION_LOGSUMEXP };

typedef struct reduction_work {
  enum reduction_kind kind;
  enum fold_op op; /* of a fold or an extreme; of squares, the root of their sum */
  const tensor *in, *to, *indices;
  unsigned dims;
  double scale; /* of a sum of floats; 0: none */
  double correction;
  bool root; /* of a variance */
} reduction_work;

/* Elements of t that int64 tensors name. `part` and `whole` have the shape of the result or of what
 * is written; `whole` is t, with strides of 0 where only indices move; so have the index tensors,
 * with strides of 0 where they do not. Each index adds its number times `step` elements. An index
 * out of range touches nothing and becomes an error, if need be of a later operation. */
typedef struct index_work {
  enum { INDEX_TAKE, INDEX_PUT, INDEX_ADD } what; /* part = whole, whole = part, whole += part */
  const char *verb;                               /* "gather": of static storage */
  const tensor *t;
  bool negative; /* do negative indices count from the end? */
  tensor part, whole;
  int indices;
  struct {
    tensor index;
    int dim;
    int64_t size, step;
  } at[TENSOR_MAX_RANK];
} index_work;

/* Two tensors of one shape, element by element; compare.h says what is counted. With CLOSE and
 * EQUAL only `bad` and `first_bad` are. */
enum compare_how { COMPARE_DISTANCE, COMPARE_CLOSE, COMPARE_EQUAL };

typedef struct compare_work {
  enum compare_how how;
  const tensor *a, *b;
  double rtol, atol;
  bool equal_nan;
} compare_work;

/* Random numbers into a contiguous tensor, to the bits of random.c. */
enum draw_kind {
  DRAW_UNIFORM,     /* [a, b), of so many digits */
  DRAW_NORMAL,      /* mean a, deviation b */
  DRAW_EXPONENTIAL, /* rate a */
  DRAW_INTEGERS,    /* low + [0, range) */
  DRAW_KEYS,        /* int64: a permutation is their order */
  DRAW_COINS,       /* 1 with probability a */
  DRAW_COINS_EACH   /* with the probabilities of `each`, contiguous */
};

typedef struct draw_work {
  enum draw_kind kind;
  const tensor *into, *each;
  generator from;
  double a, b;
  uint64_t range;
  int64_t low;
  int digits;
} draw_work;

/* Categories by weight, to the bits of random_choice.c. */
typedef struct multinomial_work {
  const tensor *to;      /* int64 [rows, n] or [n], contiguous */
  const tensor *weights; /* floats [rows, categories] or [categories], contiguous */
  int64_t n;
  bool replacement;
  generator from;
} multinomial_work;

typedef struct device_functions {
  /* ---- memory ---- */
  int (*allocate)(storage *s,
                  tensor_error *error); /* sets data, release, owner from device, bytes */
  size_t (*bytes_in_use)(void);         /* of all devices */
  /* Bytes of a storage to the host and back, from `at` on; the call returns when they are there. */
  int (*upload)(storage *to, size_t at, const void *from, size_t bytes, tensor_error *error);
  int (*download)(void *to, storage *from, size_t at, size_t bytes, tensor_error *error);
  /* Between two devices. */
  int (*transfer)(storage *to, size_t to_at, storage *from, size_t from_at, size_t bytes,
                  tensor_error *error);

  int (*elementwise)(const elementwise_work *work, tensor_error *error);
  int (*fused)(const fused *f, tensor_error *error);
  /* [.., m, n] = [.., m, k] [.., k, n] of float32, to and a contiguous, where b computes the
   * second: its loop is over the dimensions of the batch and n, which are outer_rank, and those of
   * k. 1 where it does not: few rows only, and matrices that lie well. */
  int (*thin)(const tensor *to, const tensor *a, const fused *b, int outer_rank,
              tensor_error *error);

  /* [.., m, n] = [.., m, k] [.., k, n], of one rank and with equal sizes before the last two. `to`
   * is contiguous, of the operands' dtype or of what it is added up in, and has elements. */
  int (*matmul)(const tensor *to, const tensor *a, const tensor *b, tensor_error *error);

  /* ---- reductions ---- */
  int (*reduce)(const reduction_work *work, tensor_error *error);
  /* Along one dimension of `in`; `to` is contiguous. */
  int (*softmax)(const tensor *to, const tensor *in, int dim, bool logarithm, tensor_error *error);
  int (*scan)(enum fold_op op, const tensor *to, const tensor *in, int dim, tensor_error *error);

  /* ---- indices and order ---- */
  int (*index)(const index_work *work, tensor_error *error);
  /* int64 [n, rank]: the places of the flags that are set, of a contiguous tensor of bools. */
  int (*nonzero)(tensor *out, const tensor *flags, tensor_error *error);
  /* With a bit set in `dims` for each dimension to turn around. */
  int (*flip)(const tensor *to, const tensor *from, unsigned dims, tensor_error *error);
  /* Clear what is not part of the triangle, of contiguous matrices. */
  int (*triangle)(const tensor *t, int64_t diagonal, bool upper, tensor_error *error);
  /* Of each row of t [rows, n] the first in order: values and indices are [rows, take], all three
   * contiguous. Ties keep their places. */
  int (*order)(const tensor *values, const tensor *indices, const tensor *t, bool descending,
               tensor_error *error);
  /* tensor_unique and tensor_searchsorted, of contiguous tensors; inverse and places exist. */
  int (*distinct)(tensor *values, const tensor *inverse, tensor *counts, const tensor *t,
                  tensor_error *error);
  int (*search)(const tensor *places, const tensor *sorted, const tensor *values, bool right,
                tensor_error *error);
  /* Waits for the result, in *c. */
  int (*compare)(const compare_work *work, comparison *c, tensor_error *error);

  int (*draw)(const draw_work *work, tensor_error *error);
  /* Refuses weights that cannot be chosen by, except while a graph is captured; where results may
   * wait (pending.h), not before the next call of `check`,
   * which forgets it where the error is NULL. */
  int (*multinomial)(const multinomial_work *work, tensor_error *error);
  int (*check)(tensor_error *error);
} device_functions;

void device_register(const device_functions *functions);

/* The functions for tensors that do not lie on the CPU; NULL before a device registered. */
const device_functions *device_functions_get(void);

static inline bool tensor_is_on_cpu(const tensor *t) {
  return t->storage->device == DEVICE_CPU;
}

/* The device that n operands lie on, in *device. One-element tensors without dimensions may lie on
 * the CPU while the others do not, as in torch. `name`: what is tried, "add". */
int tensor_common_device(int *device, const char *name, int n, const tensor *const *operands,
                         tensor_error *error);

/* t on the CPU, contiguous if it had to be brought there; itself if it is there. */
int tensor_to_cpu(tensor *out, const tensor *t, tensor_error *error);
/* A contiguous copy on another device, or t itself where it lies there. */
int tensor_to_device(tensor *out, const tensor *t, int device, tensor_error *error);

#endif
