// softmax.cu -- the softmax or its logarithm. Macros:
//   IN, OUT          the types in memory
//   LOGARITHM        1 for log_softmax
//   ITEMS, VECTORS   elements that are loaded at once, and how many times a thread does that
//   CLUSTER          blocks that work on one row, through each other's shared memory
// `softmax` reads a row once, into registers. `normalise` is for rows that do not fit and for those
// whose elements are no neighbours: it goes over the input after fold.cu did.
#include "types.cuh"
#include "places.cuh"
#include "threads.cuh"

typedef IN::stored Stored;
typedef IN::number T;

typedef Items<Stored, ITEMS> Vector;
typedef Items<OUT::stored, ITEMS> OutVector;

inline OUT::stored as_result(T x) { return OUT::store(Cast<OUT, IN>::of(x)); }

// ---- across threads and blocks ---------------------------------------------------------------------

struct Greatest {
  template <typename V> static V of(V a, V b) { return greater(a, b); }
};
struct Total {
  template <typename V> static V of(V a, V b) { return a + b; }
};

#if CLUSTER > 1
// Another block's copy of what lies at `mine` in this one's shared memory.
template <typename V> inline V of_block(const V *mine, uint32_t block) {
  uint32_t at, word[sizeof(V) / 4];
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(at) : "r"((uint32_t)__cvta_generic_to_shared(mine)), "r"(block));
  for (int i = 0; i < sizeof(V) / 4; i++)
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(word[i]) : "r"(at + 4 * i) : "memory");
  V value;
  memcpy(&value, word, sizeof value);
  return value;
}

inline void meet_cluster() {
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

inline uint32_t block_in_cluster() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
#else
inline uint32_t block_in_cluster() { return 0; }
#endif

// What `group` threads, or all of the cluster's, hold, put together; the same in all of them.
template <typename Join, typename V> inline V together(V value, uint32_t group, V start) {
  __shared__ V of_warp[32];
  for (uint32_t apart = (group < 32 ? group : 32) / 2; apart > 0; apart /= 2)
    value = Join::of(value, from_lane_across(value, apart));
  if (group > 32) {
    uint32_t warps = group / 32, lane = threadIdx.x % 32, first = threadIdx.x / group * warps;
    if (lane == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    value = lane < warps ? of_warp[first + lane] : start;
    for (uint32_t apart = 16; apart > 0; apart /= 2)
      value = Join::of(value, from_lane_across(value, apart));
  }
#if CLUSTER > 1
  __shared__ V mine;
  if (threadIdx.x == 0) mine = value;
  meet_cluster();
  value = of_block(&mine, 0);
  for (uint32_t block = 1; block < CLUSTER; block++) value = Join::of(value, of_block(&mine, block));
#endif
  return value;
}

// ---- rows in registers -----------------------------------------------------------------------------

#if CLUSTER > 1
#define IN_CLUSTERS __cluster_dims__(CLUSTER, 1, 1)
#else
#define IN_CLUSTERS
#endif

struct Row {
  T x[VECTORS][ITEMS];
};

inline void load(Row &row, const Stored *from, int64_t vectors, uint32_t lane, uint32_t lanes) {
  Vector v[VECTORS];
#pragma unroll
  for (int k = 0; k < VECTORS; k++)
    if (lane + k * lanes < vectors) v[k] = reinterpret_cast<const Vector *>(from)[lane + k * lanes];
#pragma unroll
  for (int k = 0; k < VECTORS; k++)
#pragma unroll
    for (int i = 0; i < ITEMS; i++)
      row.x[k][i] = lane + k * lanes < vectors ? IN::load(v[k].item[i]) : (T)-INFINITY;
}

// The row's exponentials around its greatest, unless they are not needed; their sum.
inline double exponentials(Row &row, T most) {
  double sum = 0;
#pragma unroll
  for (int k = 0; k < VECTORS; k++) {
    T part = 0;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      T term = exponential(row.x[k][i] - most);
      part += term;
      if (!LOGARITHM) row.x[k][i] = term;
    }
    sum += (double)part;
  }
  return sum;
}

// In float32 a product with the reciprocal, as on the CPU.
struct Finish {
  T most, by;
  Finish(T most, double sum) : most(most) {
    by = (T)(LOGARITHM ? log(sum) : sizeof(T) == 8 ? sum : 1 / sum);
  }
  T of(T x) const {
    if (LOGARITHM) return x - most - by;
    return sizeof(T) == 8 ? x / by : x * by;
  }
};

extern "C" __global__ void IN_CLUSTERS __launch_bounds__(1024)
softmax(const __grid_constant__ softmax_arguments g) {
  uint32_t group = g.group, lane = threadIdx.x % group + block_in_cluster() * group;
  int64_t r = CLUSTER > 1 ? blockIdx.x / CLUSTER
                          : (int64_t)blockIdx.x * (blockDim.x / group) + threadIdx.x / group;
  bool is_row = r < g.rows;
  int64_t vectors = is_row ? g.n / ITEMS : 0;
  uint32_t lanes = group * CLUSTER;
  Row row;
  const Stored *from = static_cast<const Stored *>(g.in);
  load(row, is_row ? from + place(g.map, g.map.from, r) : from, vectors, lane, lanes);
  T most = (T)-INFINITY;
#pragma unroll
  for (int k = 0; k < VECTORS; k++)
#pragma unroll
    for (int i = 0; i < ITEMS; i++) most = greater(most, row.x[k][i]);
  most = together<Greatest>(most, group, (T)-INFINITY);
  Finish finish(most, together<Total>(exponentials(row, most), group, 0.0));
  OUT::stored *out = static_cast<OUT::stored *>(g.out) + r * g.n;
#pragma unroll
  for (int k = 0; k < VECTORS; k++) {
    OutVector made;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) made.item[i] = as_result(finish.of(row.x[k][i]));
    if (lane + k * lanes < vectors) reinterpret_cast<OutVector *>(out)[lane + k * lanes] = made;
  }
#if CLUSTER > 1
  meet_cluster(); // others may still read this block's shared memory
#endif
}

// ---- a second time over the input ------------------------------------------------------------------

struct Sums { // Exponentials::Own of fold.cu
  T most;
  double sum;
};

extern "C" __global__ void __launch_bounds__(SOFTMAX_THREADS)
normalise(const __grid_constant__ softmax_arguments g) {
  int64_t first = (int64_t)blockIdx.x * (SOFTMAX_THREADS * VECTORS) + threadIdx.x;
  Vector v[VECTORS];
#pragma unroll
  for (int k = 0; k < VECTORS; k++) {
    int64_t i = first + k * SOFTMAX_THREADS;
    if (i >= g.vectors) continue;
    const Stored *from = static_cast<const Stored *>(g.in) + place(g.map, g.map.from, i);
    v[k] = *reinterpret_cast<const Vector *>(from);
  }
#pragma unroll
  for (int k = 0; k < VECTORS; k++) {
    int64_t i = first + k * SOFTMAX_THREADS;
    if (i >= g.vectors) continue;
    const Sums *sums = static_cast<const Sums *>(g.sums) + place(g.map, g.map.to, i);
    OutVector made;
#pragma unroll
    for (int j = 0; j < ITEMS; j++) {
      Sums s = sums[j * g.to_item];
      Finish finish(s.most, s.most == INFINITY ? (double)NAN : s.sum);
      T x = IN::load(v[k].item[j]);
      made.item[j] = as_result(finish.of(LOGARITHM ? x : exponential(x - s.most)));
    }
    static_cast<OutVector *>(g.out)[i] = made;
  }
}
