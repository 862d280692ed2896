// {{definition}} on the CPU: {{summary}}
//
{{cpp_signature}}
//
// A beginning that builds and runs, and is wrong: every output is filled with zeros.
#include "element.h"

static void clear(const TensorView &tensor) {
  DLDataType dtype = tensor.dtype();
  std::memset(tensor.data_ptr(), 0, tensor.numel() * ((dtype.bits * dtype.lanes + 7) / 8));
}

void run({{cpp_parameters}}) {
{{cpp_clear}}
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
