// C = A @ B.T for float16, summed in float32. Rows of A and of B are contiguous, so each element is
// a dot product.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

using tvm::ffi::TensorView;

static const int LANES = 16;     // partial sums, which the compiler keeps in vector registers
static const int64_t BLOCK = 16; // rows of B that are used for all rows of A before the next ones

static float from_float16(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = (half >> 10) & 31,
           fraction = half & 1023;
  uint32_t bits;
  float value;
  if (exponent == 0) { // zero or subnormal: fraction * 2^-24
    value = float(fraction) * 5.9604644775390625e-8f;
    return sign ? -value : value;
  }
  bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static uint16_t to_float16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  uint16_t sign = uint16_t((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7e00;
  if (bits >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (bits < 0x38800000) { // subnormal: adding 0.5 leaves round(value * 2^24) in the low bits
    float magnitude;
    std::memcpy(&magnitude, &bits, sizeof magnitude);
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, sizeof bits);
    return uint16_t(sign | (bits - 0x3f000000));
  }
  bits += 0xfff + ((bits >> 13) & 1);
  return uint16_t(sign | ((bits >> 13) - (112 << 10)));
}

static std::vector<float> widened(const TensorView &tensor) {
  auto *from = static_cast<const uint16_t *>(tensor.data_ptr());
  std::vector<float> values(tensor.size(0) * tensor.size(1));
  for (size_t i = 0; i < values.size(); ++i) values[i] = from_float16(from[i]);
  return values;
}

static float dot(const float *a, const float *b, int64_t size) {
  float sums[LANES] = {0}, total = 0;
  int64_t k = 0;
  for (; k + LANES <= size; k += LANES)
    for (int lane = 0; lane < LANES; ++lane) sums[lane] += a[k + lane] * b[k + lane];
  for (; k < size; ++k) total += a[k] * b[k];
  for (int lane = 0; lane < LANES; ++lane) total += sums[lane];
  return total;
}

void run(TensorView A, TensorView B, TensorView C) {
  int64_t m = A.size(0), n = B.size(0), k = A.size(1);
  std::vector<float> a = widened(A), b = widened(B);
  auto *c = static_cast<uint16_t *>(C.data_ptr());
  for (int64_t first = 0; first < n; first += BLOCK)
    for (int64_t row = 0; row < m; ++row)
      for (int64_t column = first; column < std::min(first + BLOCK, n); ++column)
        c[row * n + column] = to_float16(dot(&a[row * k], &b[column * k], k));
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
