/* job.c -- loops over blocks of elements: collected, converted, computed with, converted,
 * scattered. */
#include "tensor/job.h"

#include <string.h>

#include "tensor/loop.h"
#include "tensor/transpose.h"

void job_call(const job *j, void *out, const void *const *in, int64_t n) {
  if (j->unary)
    j->unary(out, in[0], n);
  else if (j->binary)
    j->binary(out, in[0], in[1], n);
  else if (j->ternary)
    j->ternary(out, in[0], in[1], in[2], n);
  else if (j->select)
    j->select(out, in[0], in[1], in[2], n);
  else if (out != in[0])
    memmove(out, in[0], (size_t)n * dtype_size(j->made));
}

const void *job_load(const job *j, int input, const char *from, int64_t stride, int64_t n,
                     job_block *room) {
  dtype in = j->in[input], as = j->as[input];
  size_t size = dtype_size(in);
  job_block collected;
  bool lies_even = stride == (int64_t)size;
  if (in == as && lies_even) return from;
  if (in == as) {
    j->k->gather[size_index(size)](room->bytes, from, stride, n);
    return room->bytes;
  }
  if (!lies_even) j->k->gather[size_index(size)](collected.bytes, from, stride, n);
  dtype_convert(as, room->bytes, in, lies_even ? from : collected.bytes, n);
  return room->bytes;
}

static void store(const job *j, char *to, int64_t stride, const void *from, int64_t n) {
  int64_t size = (int64_t)dtype_size(j->out);
  job_block converted;
  if (j->made == j->out && stride == size) {
    if (to != from) memcpy(to, from, (size_t)(n * size));
    return;
  }
  if (j->made != j->out) {
    void *target = stride == size ? (void *)to : converted.bytes;
    dtype_convert(j->out, target, j->made, from, n);
    from = target;
  }
  if (stride != size) j->k->scatter[size_index((size_t)size)](to, from, stride, n);
}

static bool is_direct(const job *j, const int64_t *stride) {
  if (j->made != j->out || stride[0] != (int64_t)dtype_size(j->out)) return false;
  for (int i = 0; i < j->inputs; i++)
    if (j->in[i] != j->as[i] || stride[i + 1] != (int64_t)dtype_size(j->in[i])) return false;
  return true;
}

static void run_blocks(const job *j, char *const *data, const int64_t *stride, int64_t n) {
  job_block room[3], made;
  const void *in[3];
  bool constant[3], direct_out = j->made == j->out && stride[0] == (int64_t)dtype_size(j->out);
  for (int i = 0; i < j->inputs; i++) {
    constant[i] = stride[i + 1] == 0;
    if (constant[i])
      in[i] = job_load(j, i, data[i + 1], 0, n < JOB_BLOCK ? n : JOB_BLOCK, &room[i]);
  }
  for (int64_t done = 0; done < n; done += JOB_BLOCK) {
    int64_t length = n - done < JOB_BLOCK ? n - done : JOB_BLOCK;
    for (int i = 0; i < j->inputs; i++)
      if (!constant[i])
        in[i] = job_load(j, i, data[i + 1] + done * stride[i + 1], stride[i + 1], length, &room[i]);
    char *to = data[0] + done * stride[0];
    void *out = direct_out ? (void *)to : made.bytes;
    job_call(j, out, in, length);
    store(j, to, stride[0], out, length);
  }
}

static void run_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const job *j = context;
  if (!is_direct(j, stride)) {
    run_blocks(j, data, stride, n);
    return;
  }
  const void *in[3] = {data[1], j->inputs > 1 ? data[2] : NULL, j->inputs > 2 ? data[3] : NULL};
  job_call(j, data[0], in, n);
}

job job_plan(const elementwise_work *w) {
  const kernel_table *k = kernels();
  job j = {.k = k, .inputs = w->inputs, .made = w->made, .out = w->to->dtype};
  for (int i = 0; i < w->inputs; i++) {
    j.in[i] = w->in[i]->dtype;
    j.as[i] = compute_dtype(w->compute);
  }
  switch (w->kind) {
  case ELEMENTWISE_UNARY: j.unary = k->unary[w->compute][w->op]; break;
  case ELEMENTWISE_BINARY: j.binary = k->binary[w->compute][w->op]; break;
  case ELEMENTWISE_TERNARY: j.ternary = k->ternary[w->compute][w->op]; break;
  case ELEMENTWISE_WHERE:
    j.as[0] = j.in[0];
    j.as[1] = j.as[2] = j.made = j.out;
    j.select = k->select[size_index(dtype_size(j.out))];
    break;
  case ELEMENTWISE_CAST: j.as[0] = j.made = j.out; break;
  }
  return j;
}

void elementwise_on_cpu(const elementwise_work *w) {
  job j = job_plan(w);
  loop l;
  loop_start(&l, w->to->rank, w->to->shape);
  loop_add(&l, w->to);
  for (int i = 0; i < w->inputs; i++) loop_add(&l, w->in[i]);
  loop_simplify(&l);
  bool only_moves = w->kind == ELEMENTWISE_CAST && j.in[0] == j.out;
  if (only_moves && copy_transposed(&l, dtype_size(j.out))) return;
  loop_run(&l, LOOP_GRAIN, run_segment, &j);
}
