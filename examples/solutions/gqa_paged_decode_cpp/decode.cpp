// One token for each sequence, over keys and values in pages of one token. The softmax is kept
// online: a running maximum, and sums that are rescaled when it grows. A sequence without keys gets
// zeros and a log-sum-exp of -inf.
#include <cmath>
#include <limits>

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include "half.h"

using tvm::ffi::TensorView;

static const int HEADS = 32, KV_HEADS = 4, SIZE = 128;
static const float LOG2_E = 1.44269504088896340736f;

struct Softmax {
  float maximum = -std::numeric_limits<float>::infinity(), weights = 0, values[SIZE] = {0};

  void add(float logit, const uint16_t *value) {
    if (logit > maximum) {
      float shrink = std::exp2(maximum - logit);
      weights *= shrink;
      for (int d = 0; d < SIZE; ++d) values[d] *= shrink;
      maximum = logit;
    }
    float weight = std::exp2(logit - maximum);
    weights += weight;
    for (int d = 0; d < SIZE; ++d) values[d] += weight * from_bfloat16(value[d]);
  }
};

static float dot(const float *query, const uint16_t *key) {
  float sum = 0;
  for (int d = 0; d < SIZE; ++d) sum += query[d] * from_bfloat16(key[d]);
  return sum;
}

void run(TensorView q, TensorView k_cache, TensorView v_cache, TensorView kv_indptr,
         TensorView kv_indices, double sm_scale, TensorView output, TensorView lse) {
  auto *queries = static_cast<const uint16_t *>(q.data_ptr());
  auto *keys = static_cast<const uint16_t *>(k_cache.data_ptr());
  auto *values = static_cast<const uint16_t *>(v_cache.data_ptr());
  auto *starts = static_cast<const int32_t *>(kv_indptr.data_ptr());
  auto *pages = static_cast<const int32_t *>(kv_indices.data_ptr());
  auto *out = static_cast<uint16_t *>(output.data_ptr());
  auto *logs = static_cast<float *>(lse.data_ptr());
  for (int64_t row = 0; row < q.size(0) * HEADS; ++row) {
    int64_t sequence = row / HEADS, kv_head = row % HEADS / (HEADS / KV_HEADS);
    float query[SIZE];
    for (int d = 0; d < SIZE; ++d)
      query[d] = from_bfloat16(queries[row * SIZE + d]) * float(sm_scale) * LOG2_E;
    Softmax softmax;
    for (int32_t i = starts[sequence]; i < starts[sequence + 1]; ++i) {
      int64_t at = (int64_t{pages[i]} * KV_HEADS + kv_head) * SIZE;
      softmax.add(dot(query, keys + at), values + at);
    }
    bool empty = softmax.weights == 0;
    for (int d = 0; d < SIZE; ++d)
      out[row * SIZE + d] = to_bfloat16(empty ? 0 : softmax.values[d] / softmax.weights);
    logs[row] = empty ? -std::numeric_limits<float>::infinity()
                      : softmax.maximum + std::log2(softmax.weights);
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
