// scan.cu -- running sums and products. Macros:
//   IN, OUT          the types in memory
//   MADE, ACCUMULATE as in fold.cu
//   JOIN             + or *
//   START            0 or 1
//   ITEMS, ALIGNED   neighbours that a thread takes, and whether they are loaded and stored as one
// A long row is cut into chunks: `scan_sums` folds each, then every block starts from what the
// chunks before its own came to. All is added in an order that depends on the shape alone.
#include "types.cuh"
#include "places.cuh"
#include "threads.cuh"

typedef IN::stored Stored;
typedef OUT::stored OutStored;
typedef ACCUMULATE A;
typedef Items<Stored, ITEMS> Vector;
typedef Items<OutStored, ITEMS> OutVector;

inline A join(A a, A b) { return a JOIN b; }
inline A number(Stored stored) { return (A)IN::load(stored); }
inline OutStored as_result(A x) { return OUT::store(Cast<OUT, MADE>::of((MADE::number)x)); }

// ---- a thread's neighbours ----------------------------------------------------------------------

// n elements at `from`, of which there may be fewer than ITEMS, or none.
inline void load(A (&x)[ITEMS], const Stored *from, int64_t n) {
#if ALIGNED
  Vector v;
  if (n > 0) v = *reinterpret_cast<const Vector *>(from);
#pragma unroll
  for (int i = 0; i < ITEMS; i++) x[i] = n > 0 ? number(v.item[i]) : (A)START;
#else
#pragma unroll
  for (int i = 0; i < ITEMS; i++) x[i] = i < n ? number(from[i]) : (A)START;
#endif
}

inline void store(OutStored *to, const A (&x)[ITEMS], int64_t n) {
#if ALIGNED
  OutVector v;
#pragma unroll
  for (int i = 0; i < ITEMS; i++) v.item[i] = as_result(x[i]);
  if (n > 0) *reinterpret_cast<OutVector *>(to) = v;
#else
#pragma unroll
  for (int i = 0; i < ITEMS; i++)
    if (i < n) to[i] = as_result(x[i]);
#endif
}

inline void run_through(A (&x)[ITEMS]) {
#pragma unroll
  for (int i = 1; i < ITEMS; i++) x[i] = join(x[i - 1], x[i]);
}

// Of `group` neighbouring threads, those up to this one.
inline A up_to_lane(A x, uint32_t group) {
  uint32_t lane = threadIdx.x % group;
  for (uint32_t apart = 1; apart < group && apart < 32; apart *= 2) {
    A before = from_lane_before(x, apart);
    if (lane % 32 >= apart) x = join(before, x);
  }
  return x;
}

// ---- blocks -------------------------------------------------------------------------------------

// What all threads hold, in the order of the threads; the same in all. `shared` is free afterwards
// only when the block has met once more.
inline A fold_block(A x, A *shared) {
  uint32_t warps = blockDim.x / 32;
  for (int apart = 1; apart < 32; apart *= 2) {
    A after = from_lane_after(x, apart);
    x = join(x, after);
  }
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  A all = shared[0];
  for (uint32_t i = 1; i < warps; i++) all = join(all, shared[i]);
  return all;
}

inline int64_t chunk_end(const scan_arguments &g, int64_t first) {
  return first + g.chunk < g.n ? first + g.chunk : g.n;
}

// blockIdx.x is a chunk of a row.
extern "C" __global__ void __launch_bounds__(SCAN_THREADS)
scan_sums(const __grid_constant__ scan_arguments g) {
  __shared__ A shared[SCAN_THREADS / 32];
  int64_t row = blockIdx.x / g.chunks, chunk = blockIdx.x % g.chunks;
  if (chunk == g.chunks - 1) return; // nobody needs the last one's
  const Stored *from = static_cast<const Stored *>(g.in) + place(g.map, g.map.from, row);
  int64_t last = chunk_end(g, chunk * g.chunk), step = (int64_t)blockDim.x * ITEMS;
  A sum = START;
#pragma unroll 4
  for (int64_t i = chunk * g.chunk + threadIdx.x * ITEMS; i < last; i += step) {
    A x[ITEMS];
    load(x, from + i, last - i);
    run_through(x);
    sum = join(sum, x[ITEMS - 1]);
  }
  sum = fold_block(sum, shared);
  if (threadIdx.x == 0) static_cast<A *>(g.parts)[row * g.chunks + chunk] = sum;
}

// What the chunks before this one come to.
inline A carried(const scan_arguments &g, int64_t row, int64_t chunk, A *shared) {
  const A *parts = static_cast<const A *>(g.parts) + row * g.chunks;
  A sum = START;
  for (int64_t i = threadIdx.x; i < chunk; i += blockDim.x) sum = join(sum, parts[i]);
  return fold_block(sum, shared);
}

extern "C" __global__ void __launch_bounds__(SCAN_THREADS)
scan_rows(const __grid_constant__ scan_arguments g) {
  __shared__ A of_warp[2][SCAN_THREADS / 32], of_chunks[SCAN_THREADS / 32];
  int64_t row = blockIdx.x / g.chunks, chunk = blockIdx.x % g.chunks;
  const Stored *from = static_cast<const Stored *>(g.in) + place(g.map, g.map.from, row);
  OutStored *to = static_cast<OutStored *>(g.out) + row * g.n;
  int64_t last = chunk_end(g, chunk * g.chunk), step = (int64_t)blockDim.x * ITEMS;
  uint32_t warp = threadIdx.x / 32, warps = blockDim.x / 32;
  int64_t i = chunk * g.chunk + threadIdx.x * ITEMS;
  A x[ITEMS], next[ITEMS];
  load(next, from + i, last - i);
  A carry = chunk > 0 ? carried(g, row, chunk, of_chunks) : (A)START;
  int turn = 0;
  for (int64_t tile = chunk * g.chunk; tile < last; tile += step, i += step, turn ^= 1) {
#pragma unroll
    for (int k = 0; k < ITEMS; k++) x[k] = next[k];
    load(next, from + i + step, last - i - step);
    run_through(x);
    A through = up_to_lane(x[ITEMS - 1], 32);
    if (threadIdx.x % 32 == 31) of_warp[turn][warp] = through;
    __syncthreads();
    A before = carry;
    for (uint32_t w = 0; w < warps; w++) {
      if (w == warp) before = carry;
      carry = join(carry, of_warp[turn][w]);
    }
    A lanes_before = from_lane_before(through, 1);
    if (threadIdx.x % 32 > 0) before = join(before, lanes_before);
#pragma unroll
    for (int k = 0; k < ITEMS; k++) x[k] = join(before, x[k]);
    store(to + i, x, last - i);
  }
}

// Rows that a part of a warp takes at once.
extern "C" __global__ void __launch_bounds__(SCAN_THREADS)
scan_short(const __grid_constant__ scan_arguments g) {
  uint32_t group = g.group, lane = threadIdx.x % group;
  int64_t row = (int64_t)blockIdx.x * (SCAN_THREADS / group) + threadIdx.x / group;
  bool is_row = row < g.rows;
  int64_t i = lane * ITEMS, n = is_row ? g.n - i : 0;
  const Stored *from = static_cast<const Stored *>(g.in);
  if (is_row) from += place(g.map, g.map.from, row) + i;
  A x[ITEMS];
  load(x, from, n);
  run_through(x);
  A through = up_to_lane(x[ITEMS - 1], group);
  A before = from_lane_before(through, 1);
  if (lane > 0) {
#pragma unroll
    for (int k = 0; k < ITEMS; k++) x[k] = join(before, x[k]);
  }
  store(static_cast<OutStored *>(g.out) + row * g.n + i, x, n);
}

// ---- along a dimension that is not the innermost ------------------------------------------------

struct Column {
  int64_t at, number, chunk, n; // of its first element; among all columns; how many elements
};

// A thread has a chunk of a column: neighbours have neighbouring columns.
inline bool find_column(Column &c, const scan_arguments &g) {
  int64_t i = (int64_t)blockIdx.x * SCAN_THREADS + threadIdx.x, columns = g.rows * g.inner;
  c.chunk = i / columns;
  c.number = i % columns;
  c.at = c.number / g.inner * (g.n * g.inner) + c.number % g.inner + c.chunk * g.chunk * g.inner;
  c.n = chunk_end(g, c.chunk * g.chunk) - c.chunk * g.chunk;
  return c.chunk < g.chunks;
}

#define AHEAD 8

// Calls with every element and its number, loading AHEAD of them at a time.
template <typename Body> inline void walk(const Stored *from, int64_t apart, int64_t n, Body body) {
  int64_t i = 0;
  for (; i + AHEAD <= n; i += AHEAD) {
    Stored v[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++) v[k] = from[(i + k) * apart];
#pragma unroll
    for (int k = 0; k < AHEAD; k++) body(i + k, number(v[k]));
  }
  for (; i < n; i++) body(i, number(from[i * apart]));
}

extern "C" __global__ void __launch_bounds__(SCAN_THREADS)
scan_column_sums(const __grid_constant__ scan_arguments g) {
  Column c;
  if (!find_column(c, g) || c.chunk == g.chunks - 1) return;
  A sum = START;
  walk(static_cast<const Stored *>(g.in) + c.at, g.inner, c.n,
       [&](int64_t, A x) { sum = join(sum, x); });
  static_cast<A *>(g.parts)[c.chunk * (g.rows * g.inner) + c.number] = sum;
}

extern "C" __global__ void __launch_bounds__(SCAN_THREADS)
scan_columns(const __grid_constant__ scan_arguments g) {
  Column c;
  if (!find_column(c, g)) return;
  const A *parts = static_cast<const A *>(g.parts) + c.number;
  A sum = START;
  for (int64_t i = 0; i < c.chunk; i++) sum = join(sum, parts[i * (g.rows * g.inner)]);
  OutStored *to = static_cast<OutStored *>(g.out) + c.at;
  walk(static_cast<const Stored *>(g.in) + c.at, g.inner, c.n, [&](int64_t i, A x) {
    sum = join(sum, x);
    to[i * g.inner] = as_result(sum);
  });
}
