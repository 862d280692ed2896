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
  F(fault, "fault.h", "cuda/fault.h")                                                              \
  F(index_h, "index.h", "cuda/index.h")                                                            \
  F(index_cuh, "index.cuh", "cuda/index.cuh")                                                      \
  F(index, "index.cu", "cuda/index.cu")                                                            \
  F(index_add, "index_add.cu", "cuda/index_add.cu")                                                \
  F(sort_h, "sort.h", "cuda/sort.h")                                                               \
  F(sort_order, "sort_order.cuh", "cuda/sort_order.cuh")                                           \
  F(sort_rank, "sort_rank.cuh", "cuda/sort_rank.cuh")                                              \
  F(sort_short, "sort_short.cu", "cuda/sort_short.cu")                                             \
  F(sort_block, "sort_block.cu", "cuda/sort_block.cu")                                             \
  F(sort, "sort.cu", "cuda/sort.cu")                                                               \
  F(topk, "topk.cu", "cuda/topk.cu")                                                               \
  F(search, "search.cu", "cuda/search.cu")                                                         \
  F(compact_h, "compact.h", "cuda/compact.h")                                                      \
  F(compact_cuh, "compact.cuh", "cuda/compact.cuh")                                                \
  F(compact, "compact.cu", "cuda/compact.cu")                                                      \
  F(join_h, "join.h", "cuda/join.h")                                                               \
  F(join, "join.cu", "cuda/join.cu")                                                               \
  F(elementwise_h, "elementwise.h", "cuda/elementwise.h")                                          \
  F(elementwise, "elementwise.cu", "cuda/elementwise.cu")                                          \
  F(fused_h, "fused.h", "cuda/fused.h")                                                            \
  F(fused_ops, "fused_ops.inc", "cuda/fused_ops.inc")                                              \
  F(fused_cuh, "fused.cuh", "cuda/fused.cuh")                                                      \
  F(fused, "fused.cu", "cuda/fused.cu")                                                            \
  F(thin, "thin.cu", "cuda/thin.cu")                                                               \
  F(matmul_h, "matmul.h", "cuda/matmul.h")                                                         \
  F(matmul, "matmul.cu", "cuda/matmul.cu")                                                         \
  F(threads, "threads.cuh", "cuda/threads.cuh")                                                    \
  F(places, "places.cuh", "cuda/places.cuh")                                                       \
  F(reduce_h, "reduce.h", "cuda/reduce.h")                                                         \
  F(fold, "fold.cu", "cuda/fold.cu")                                                               \
  F(softmax, "softmax.cu", "cuda/softmax.cu")                                                      \
  F(scan, "scan.cu", "cuda/scan.cu")                                                               \
  F(random_h, "random.h", "cuda/random.h")                                                         \
  F(random_cu, "random.cu", "cuda/random.cu")                                                      \
  F(compare_h, "compare.h", "cuda/compare.h")                                                      \
  F(compare_cu, "compare.cu", "cuda/compare.cu")                                                   \
  F(multinomial_h, "multinomial.h", "cuda/multinomial.h")                                          \
  F(multinomial, "multinomial.cu", "cuda/multinomial.cu")                                          \
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
