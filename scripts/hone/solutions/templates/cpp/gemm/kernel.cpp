// {{definition}} on the CPU: {{summary}}
//
{{cpp_signature}}
#include <vector>

#include "element.h"

using Element = {{cpp_type}};
constexpr int64_t N = {{N}}, K = {{K}};

static std::vector<float> widened(const TensorView &tensor) {
  const Element *from = static_cast<const Element *>(tensor.data_ptr());
  std::vector<float> values(tensor.numel());
  for (size_t i = 0; i < values.size(); i++) values[i] = widen(from[i]);
  return values;
}

void run({{cpp_parameters}}) {
  std::vector<float> a = widened(A), b = widened(B);
  Element *c = static_cast<Element *>(C.data_ptr());
  for (int64_t row = 0; row < A.size(0); row++)
    for (int64_t column = 0; column < N; column++) {
      float sums[8] = {0}; // partial sums, which the compiler keeps in vector registers
      const float *left = &a[row * K], *right = &b[column * K];
      int64_t k = 0;
      for (; k + 8 <= K; k += 8)
        for (int lane = 0; lane < 8; lane++) sums[lane] += left[k + lane] * right[k + lane];
      for (; k < K; k++) sums[0] += left[k] * right[k];
      float sum = 0;
      for (float part : sums) sum += part;
      narrow(sum, &c[row * N + column]);
    }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
