// index_add.cu -- adding to the elements that tensors of indices name. Integers of 32 and 64
// bits are added atomically: their sums do not depend on the order. All else is sorted by what
// it goes to; then one thread adds up what goes to one element, in the order of the places, as
// the CPU does. Macros: WIDE; TYPE, the elements' type; ATOMIC, an unsigned type of the same
// size where they are added atomically.
#include "types.cuh"
#include "index.cuh"

#define THREADS 256

// Where each place's elements begin in `whole`: an int64 at `part`, which lies contiguous.
extern "C" __global__ void __launch_bounds__(THREADS)
    index_places(const __grid_constant__ index_arguments g) {
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= g.count) return;
  Found found = {i, strided_place(g.shape, g.whole_stride, i), true};
#pragma unroll 1
  for (int k = 0; k < g.indices; k++) follow(g, k, read_index(g, k, i), found);
  static_cast<int64_t *>(g.part)[i] = found.is_there ? found.whole : g.none;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    index_add_sorted(const __grid_constant__ index_add_arguments g) {
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= g.places * g.rest) return;
  int64_t place = i / g.rest, rest = i - place * g.rest, at = g.at[place];
  if (at == g.none || (place > 0 && g.at[place - 1] == at)) return;
  const TYPE::stored *from = static_cast<const TYPE::stored *>(g.part) +
                             strided_place(g.rest_shape, g.part_rest_stride, rest);
  TYPE::stored *to = static_cast<TYPE::stored *>(g.whole) + at +
                     strided_place(g.rest_shape, g.whole_rest_stride, rest);
  TYPE::stored sum = *to;
  do {
    int64_t number = g.order[place];
    TYPE::number more =
        TYPE::load(from[strided_place(g.place_shape, g.part_place_stride, number)]);
    sum = TYPE::store((TYPE::number)(TYPE::load(sum) + more));
  } while (++place < g.places && g.at[place] == at);
  *to = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    index_add_atomic(const __grid_constant__ index_arguments g) {
#ifdef ATOMIC
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= g.count) return;
  Found found = {strided_place(g.shape, g.part_stride, i),
                 strided_place(g.shape, g.whole_stride, i), true};
#pragma unroll 1
  for (int k = 0; k < g.indices; k++) follow(g, k, read_index(g, k, i), found);
  if (!found.is_there) return;
  atomicAdd(static_cast<ATOMIC *>(g.whole) + found.whole,
            static_cast<const ATOMIC *>(g.part)[found.part]);
#endif
}
