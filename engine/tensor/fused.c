/* fused.c -- several elementwise operations as one loop, on the CPU; a device has its own. */
#include "tensor/fused.h"

#include <string.h>

#include "tensor/elementwise.h"
#include "tensor/job.h"
#include "tensor/loop.h"

dtype fused_value_dtype(const fused *f, int value) {
  return value < 0 ? f->leaf[~value].tensor.dtype : f->step[value].out;
}

/* ---- one operation: as if it had not waited ---------------------------------------------------
 */

/* A leaf as an operand; a number becomes a tensor over `room`. */
static const tensor *operand_of(const fused *f, int value, scalar *room) {
  const fused_leaf *leaf = &f->leaf[~value];
  if (!leaf->is_number) return &leaf->tensor;
  scalar_integer(room, (int64_t)leaf->bits);
  room->tensor.dtype = leaf->tensor.dtype;
  return &room->tensor;
}

static bool is_single(const fused *f) {
  if (f->steps > 1) return false;
  for (int i = 0; f->steps == 1 && i < f->step[0].inputs; i++)
    if (f->step[0].in[i] >= 0) return false;
  return true;
}

static int run_single(const fused *f, tensor_error *error) {
  scalar room[3];
  elementwise_work w = {.kind = ELEMENTWISE_CAST, .inputs = 1, .to = &f->to};
  if (f->steps == 0) {
    w.in[0] = operand_of(f, f->result, &room[0]);
  } else {
    const fused_step *s = &f->step[0];
    w = (elementwise_work){s->kind, s->op, s->compute, s->made, s->inputs, &f->to, {NULL}};
    for (int i = 0; i < s->inputs; i++) w.in[i] = operand_of(f, s->in[i], &room[i]);
  }
  if (!tensor_is_on_cpu(&f->to)) return device_functions_get()->elementwise(&w, error);
  elementwise_on_cpu(&w);
  return 0;
}

/* ---- a block at a time, step by step ----------------------------------------------------------
 */

typedef struct run {
  const fused *f;
  job job[FUSED_STEPS];
  int operand[FUSED_LEAVES]; /* of the loop, that a leaf is */
} run;

static job plan_step(const fused *f, const fused_step *s) {
  tensor to = {.dtype = s->out}, in[3] = {{0}};
  elementwise_work w = {s->kind, s->op, s->compute, s->made, s->inputs, &to, {NULL}};
  for (int i = 0; i < s->inputs; i++) {
    in[i].dtype = fused_value_dtype(f, s->in[i]);
    w.in[i] = &in[i];
  }
  return job_plan(&w);
}

/* Where n elements of input i lie, from number `done` on, as the step's kernel takes them. */
static const void *load(const run *r, const job *j, int i, int value, const job_block *values,
                        char *const *data, const int64_t *stride, int64_t done, int64_t n,
                        job_block *room) {
  const fused *f = r->f;
  if (value >= 0)
    return job_load(j, i, values[value].bytes, (int64_t)dtype_size(j->in[i]), n, room);
  if (f->leaf[~value].is_number)
    return job_load(j, i, (const char *)&f->leaf[~value].bits, 0, n, room);
  int k = r->operand[~value];
  return job_load(j, i, data[k] + done * stride[k], stride[k], n, room);
}

static void run_step(const run *r, int k, job_block *values, char *const *data,
                     const int64_t *stride, int64_t done, int64_t n) {
  const fused_step *s = &r->f->step[k];
  const job *j = &r->job[k];
  job_block room[3], made;
  const void *in[3];
  for (int i = 0; i < s->inputs; i++)
    in[i] = load(r, j, i, s->in[i], values, data, stride, done, n, &room[i]);
  bool converts = j->made != j->out;
  job_call(j, converts ? made.bytes : values[k].bytes, in, n);
  if (converts) dtype_convert(j->out, values[k].bytes, j->made, made.bytes, n);
}

static void run_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const run *r = context;
  size_t size = dtype_size(r->f->to.dtype);
  job_block values[FUSED_STEPS];
  for (int64_t done = 0; done < n; done += JOB_BLOCK) {
    int64_t length = n - done < JOB_BLOCK ? n - done : JOB_BLOCK;
    for (int k = 0; k < r->f->steps; k++) run_step(r, k, values, data, stride, done, length);
    const char *made = values[r->f->result].bytes;
    char *to = data[0] + done * stride[0];
    if (stride[0] == (int64_t)size)
      memcpy(to, made, (size_t)length * size);
    else
      kernels()->scatter[size_index(size)](to, made, stride[0], length);
  }
}

static void run_on_cpu(const fused *f) {
  run r = {.f = f};
  loop l;
  loop_start(&l, f->to.rank, f->to.shape);
  loop_add(&l, &f->to);
  for (int i = 0; i < f->leaves; i++) {
    if (f->leaf[i].is_number) continue;
    r.operand[i] = l.operands;
    loop_add(&l, &f->leaf[i].tensor);
  }
  for (int k = 0; k < f->steps; k++) r.job[k] = plan_step(f, &f->step[k]);
  loop_simplify(&l);
  loop_run(&l, LOOP_GRAIN, run_segment, &r);
}

int fused_run(const fused *f, tensor_error *error) {
  if (tensor_count(&f->to) == 0) return 0;
  if (is_single(f)) return run_single(f, error);
  if (!tensor_is_on_cpu(&f->to)) return device_functions_get()->fused(f, error);
  run_on_cpu(f);
  return 0;
}
