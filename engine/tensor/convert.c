/* convert.c -- contiguous elements of one dtype as another. Small floats go by way of float32. */
#include "tensor/kernels.h"

enum { BLOCK = 512 };

static bool is_small(dtype d) {
  return kernels()->widen[d] != NULL;
}

static void convert_by_way_of_float(dtype to, char *out, dtype from, const char *in, int64_t n) {
  float between[BLOCK];
  for (int64_t done = 0; done < n; done += BLOCK) {
    int64_t length = n - done < BLOCK ? n - done : BLOCK;
    dtype_convert(DTYPE_FLOAT32, between, from, in + done * (int64_t)dtype_size(from), length);
    dtype_convert(to, out + done * (int64_t)dtype_size(to), DTYPE_FLOAT32, between, length);
  }
}

/* A pair of float4 values is no number: its byte stands for it. */
static dtype as_number(dtype d) {
  return d == DTYPE_FLOAT4_E2M1 ? DTYPE_UINT8 : d;
}

void dtype_convert(dtype to, void *out, dtype from, const void *in, int64_t n) {
  const kernel_table *k = kernels();
  to = as_number(to);
  from = as_number(from);
  if (to == from)
    memmove(out, in, (size_t)n * dtype_size(to));
  else if (to == DTYPE_FLOAT32 && is_small(from))
    k->widen[from](out, in, n);
  else if (from == DTYPE_FLOAT32 && is_small(to))
    k->narrow[to](out, in, n);
  else if (is_small(from) || is_small(to))
    convert_by_way_of_float(to, out, from, in, n);
  else
    k->convert[dtype_compute(to)][dtype_compute(from)](out, in, n);
}
