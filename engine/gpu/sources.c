/* sources.c -- the CUDA sources, laid into the library by the assembler. A file that is added to
 * cuda/ is added to FILES below. */
#include "sources.h"

/* symbol, name, path from the top of the repository */
#define FILES(F)                                                                                   \
  F(prelude, "prelude.cuh", "cuda/prelude.cuh")                                                    \
  F(element, "tensor/element.h", "engine/tensor/element.h")                                        \
  F(functions, "tensor/functions.inc", "engine/tensor/functions.inc")                              \
  F(ops, "tensor/ops.def", "engine/tensor/ops.def")                                                \
  F(philox, "tensor/philox.h", "engine/tensor/philox.h")                                           \
  F(types, "types.cuh", "cuda/types.cuh")                                                          \
  F(strided, "strided.h", "cuda/strided.h")                                                        \
  F(elementwise_h, "elementwise.h", "cuda/elementwise.h")                                          \
  F(elementwise, "elementwise.cu", "cuda/elementwise.cu")                                          \
  F(matmul_h, "matmul.h", "cuda/matmul.h")                                                         \
  F(matmul, "matmul.cu", "cuda/matmul.cu")                                                         \
  F(transpose_h, "transpose.h", "cuda/transpose.h")                                                \
  F(transpose, "transpose.cu", "cuda/transpose.cu")

#define EMBED(symbol, name, path)                                                                  \
  __asm__(".pushsection .rodata\n"                                                                 \
          "hone_source_" #symbol ":\n"                                                             \
          ".incbin \"" path "\"\n"                                                                 \
          ".byte 0\n"                                                                              \
          ".popsection\n");                                                                        \
  extern const char symbol[] __asm__("hone_source_" #symbol);
FILES(EMBED)

#define ROW(symbol, name, path) {name, symbol},
const gpu_text gpu_sources[] = {FILES(ROW)};
const int gpu_source_count = sizeof gpu_sources / sizeof *gpu_sources;
