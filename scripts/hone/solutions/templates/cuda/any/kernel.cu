// {{definition}}: {{summary}}
//
{{cpp_signature}}
//
// A beginning that builds and runs, and is wrong: every output is filled with zeros.
#include "common.h"

__global__ void fill(unsigned char *bytes, int64_t count) {
  int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) bytes[i] = 0;
}

static void clear(const TensorView &tensor) {
  DLDataType dtype = tensor.dtype();
  int64_t count = tensor.numel() * ((dtype.bits * dtype.lanes + 7) / 8);
  if (count == 0) return;
  fill<<<(count + 255) / 256, 256, 0, stream_of(tensor)>>>(static_cast<unsigned char *>(tensor.data_ptr()), count);
  check_launch();
}

void run({{cpp_parameters}}) {
{{cpp_clear}}
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
