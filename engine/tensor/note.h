/* note.h -- what the files behind pending.h share: the notes of what waits, and programs made of
 * them. */
#ifndef HONE_NOTE_H
#define HONE_NOTE_H

#include "tensor/fused.h"
#include "tensor/pending.h"

enum { NOTE_OFTEN = 2 /* times that parts were computed: the whole would have been cheaper */ };

typedef struct input {
  bool is_number;
  tensor tensor; /* of a number only the dtype */
  uint64_t bits;
} input;

struct pending {
  storage *storage; /* whose bytes they will be, of this shape, contiguous */
  int rank;
  int64_t shape[TENSOR_MAX_RANK];
  fused_step step; /* its values are the inputs; a cast to its own dtype is a copy */
  input in[3];
  int steps, leaves;    /* of all that it waits for, and itself */
  bool is_heavy;        /* is there a function among them that takes long? */
  int64_t computed;     /* elements of it that others computed for themselves */
  tensor part_of, part; /* the view that was last read of it, not retained, and its elements */
  pending *next, *previous;
};

static inline int64_t note_count(const pending *p) {
  int64_t n = 1;
  for (int d = 0; d < p->rank; d++) n *= p->shape[d];
  return n;
}

/* A copy is none of a program's steps. */
static inline bool note_is_copy(const pending *p) {
  return p->step.kind == ELEMENTWISE_CAST && p->in[0].tensor.dtype == p->step.out;
}

/* Does the operation cost more than reading its operand again? */
bool note_takes_long(const fused_step *s);

/* The program that computes `to` = `from`, of one shape, where from is a view of what p notes, also
 * if that has data by now; its operands are settled where they do not fit. 0; 1 where p has to be
 * settled whole first; or an error's code. `on_host`: of the copies that the CPU has. */
int note_plan(fused *f, const tensor *to, const tensor *from, const pending *p, bool on_host,
              tensor_error *error);

/* The span in which copies on the CPU are what a device holds. */
unsigned pending_span(void);

#endif
