// {{definition}} on the CPU: {{summary}}
//
{{cpp_signature}}
#include <cmath>

#include "element.h"

using Element = {{cpp_type}};
constexpr int64_t SIZE = {{hidden_size}};
constexpr float EPS = {{eps}}f;

void run({{cpp_parameters}}) {
  const Element *hidden = static_cast<const Element *>(hidden_states.data_ptr());
  const Element *before = static_cast<const Element *>(residual.data_ptr());
  const Element *gain = static_cast<const Element *>(weight.data_ptr());
  Element *to = static_cast<Element *>(output.data_ptr());
  for (int64_t row = 0; row < hidden_states.size(0); row++) {
    double squares = 0;
    for (int64_t i = row * SIZE; i < (row + 1) * SIZE; i++) {
      float x = widen(hidden[i]) + widen(before[i]);
      squares += double(x) * x;
    }
    float scale = 1.0f / std::sqrt(float(squares / SIZE) + EPS);
    for (int64_t i = row * SIZE; i < (row + 1) * SIZE; i++) {
      float x = widen(hidden[i]) + widen(before[i]);
      narrow(x * scale * widen(gain[i % SIZE]), &to[i]);
    }
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
