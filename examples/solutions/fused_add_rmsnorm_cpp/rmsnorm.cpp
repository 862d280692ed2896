// output = (x * rsqrt(mean(x * x) + 1e-6)) * weight, where x = hidden_states + residual in float32.
#include <cmath>
#include <vector>

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include "half.h"

using tvm::ffi::TensorView;

static const float EPSILON = 1e-6f;

static void normalise(const uint16_t *hidden, const uint16_t *residual, const float *weight,
                      uint16_t *output, float *sums, int64_t size) {
  double squares = 0;
  for (int64_t i = 0; i < size; ++i) {
    sums[i] = from_bfloat16(hidden[i]) + from_bfloat16(residual[i]);
    squares += double{sums[i]} * sums[i];
  }
  float scale = 1 / std::sqrt(float(squares / double(size)) + EPSILON);
  for (int64_t i = 0; i < size; ++i) output[i] = to_bfloat16(sums[i] * scale * weight[i]);
}

void run(TensorView hidden_states, TensorView residual, TensorView weight, TensorView output) {
  int64_t rows = hidden_states.size(0), size = hidden_states.size(1);
  auto *hidden = static_cast<const uint16_t *>(hidden_states.data_ptr());
  auto *other = static_cast<const uint16_t *>(residual.data_ptr());
  auto *scales = static_cast<const uint16_t *>(weight.data_ptr());
  auto *out = static_cast<uint16_t *>(output.data_ptr());
  std::vector<float> weights(size), sums(size);
  for (int64_t i = 0; i < size; ++i) weights[i] = from_bfloat16(scales[i]);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t at = row * size;
    normalise(hidden + at, other + at, weights.data(), out + at, sums.data(), size);
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
