// softmax.cu -- the softmax or its logarithm. Macros:
//   IN, OUT          the types in memory
//   LOGARITHM        1 for log_softmax
//   ITEMS, VECTORS   elements that are loaded at once, and how many times a thread does that
//   IS_ROUGH         1 where input and result have 16 bits or fewer
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

struct Sums { // of a row or a part of it; as Exponentials::Own of fold.cu
  T most;
  double sum;
};

// ---- across threads and blocks ------------------------------------------------------------------

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

inline void arrive_at_cluster() { asm volatile("barrier.cluster.arrive.aligned;" ::: "memory"); }
inline void wait_for_cluster() { asm volatile("barrier.cluster.wait.aligned;" ::: "memory"); }

inline uint32_t block_in_cluster() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
#else
inline uint32_t block_in_cluster() { return 0; }
#endif

// What `group` threads hold, put together; the same in all of them.
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
  return value;
}

#if CLUSTER > 1
// The sums of the blocks' parts of a row, put together. Others may still read this block's shared
// memory afterwards: it waits for the cluster once more before it ends.
inline Sums across_cluster(Sums part) {
  __shared__ Sums mine;
  if (threadIdx.x == 0) mine = part;
  arrive_at_cluster();
  wait_for_cluster();
  Sums whole[CLUSTER], all = {(T)-INFINITY, 0};
#pragma unroll
  for (uint32_t i = 0; i < CLUSTER; i++) whole[i] = of_block(&mine, i);
  arrive_at_cluster();
#pragma unroll
  for (uint32_t i = 0; i < CLUSTER; i++) all.most = greater(all.most, whole[i].most);
#pragma unroll
  for (uint32_t i = 0; i < CLUSTER; i++)
    all.sum += whole[i].sum * (double)exponential(whole[i].most - all.most);
  return all;
}
#endif

// ---- rows in registers --------------------------------------------------------------------------

#if CLUSTER > 1
#define IN_CLUSTERS __cluster_dims__(CLUSTER, 1, 1)
#else
#define IN_CLUSTERS
#endif

// Small types stay as they are until they are needed: a row takes fewer registers. Their
// exponentials are computed twice, and need not be as precise where the result is small too.
#define IS_SMALL (sizeof(Stored) < 4)

inline T distance_exponential(T x, T most) {
#if IS_ROUGH
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"((x - most) * 1.44269504088896341f));
  return power;
#else
  return exponential(x - most);
#endif
}

template <bool is_small> struct Row {
  T x[VECTORS][ITEMS];
  void keep(int k, const Vector &v, bool is_there) {
#pragma unroll
    for (int i = 0; i < ITEMS; i++) x[k][i] = is_there ? IN::load(v.item[i]) : (T)-INFINITY;
  }
  T number(int k, int i, bool) const { return x[k][i]; }
  void keep_term(int k, int i, T term) {
    if (!LOGARITHM) x[k][i] = term;
  }
  T term(int k, int i, T) const { return x[k][i]; }
  static const bool is_rescaled = !LOGARITHM; // terms are around what was the greatest then
  // Lest the compiler loads them once more.
  void forget_numbers() {
#if LOGARITHM
#pragma unroll
    for (int k = 0; k < VECTORS; k++)
#pragma unroll
      for (int i = 0; i < ITEMS; i++) hold(x[k][i]);
#endif
  }
  static void hold(float &number) { asm volatile("" : "+f"(number)); }
  static void hold(double &number) { asm volatile("" : "+d"(number)); }
};
template <> struct Row<true> {
  static const bool is_rescaled = false;
  Vector v[VECTORS];
  void keep(int k, const Vector &from, bool) { v[k] = from; }
  T number(int k, int i, bool is_there) const {
    return is_there ? IN::load(v[k].item[i]) : (T)-INFINITY;
  }
  void keep_term(int, int, T) {}
  T term(int k, int i, T most) const {
    T x = IN::load(v[k].item[i]);
    return LOGARITHM ? x : distance_exponential(x, most);
  }
  // The compiler would keep the numbers of one pass for the next, and run out of registers.
  void forget_numbers() {
#pragma unroll
    for (int k = 0; k < VECTORS; k++) {
      uint32_t word[(sizeof(Vector) + 3) / 4] = {0};
      memcpy(word, &v[k], sizeof(Vector));
#pragma unroll
      for (int i = 0; i < (sizeof(Vector) + 3) / 4; i++) asm volatile("" : "+r"(word[i]));
      memcpy(&v[k], word, sizeof(Vector));
    }
  }
};

// In float32 a product with the reciprocal, as on the CPU.
inline float logarithm(float x) { return logf(x); }
inline double logarithm(double x) { return log(x); }

struct Finish {
  T most, by;
  Finish(T most, double sum) : most(most) {
    by = LOGARITHM ? logarithm((T)sum) : sizeof(T) == 8 ? (T)sum : (T)1 / (T)sum;
  }
  void rescale(T factor) { by = sizeof(T) == 8 ? by / factor : by * factor; }
  T of(T x) const {
    if (LOGARITHM) return x - most - by;
    return sizeof(T) == 8 ? x / by : x * by;
  }
};

extern "C" __global__ void IN_CLUSTERS __launch_bounds__(1024)
softmax(const __grid_constant__ softmax_arguments g) {
  uint32_t group = g.group, lane = (threadIdx.x & (group - 1)) + block_in_cluster() * group;
  int64_t r = CLUSTER > 1 ? blockIdx.x / CLUSTER
                          : (int64_t)blockIdx.x * (blockDim.x / group) + threadIdx.x / group;
  bool is_row = r < g.rows;
  int64_t vectors = is_row ? g.n / ITEMS : 0;
  uint32_t lanes = group * CLUSTER;
  const Stored *from = static_cast<const Stored *>(g.in);
  if (is_row) from += place(g.map, g.map.from, r);
  Row<IS_SMALL> row;
  Vector v[VECTORS];
#pragma unroll
  for (int k = 0; k < VECTORS; k++)
    if (lane + k * lanes < vectors) v[k] = reinterpret_cast<const Vector *>(from)[lane + k * lanes];
  T most = (T)-INFINITY;
#pragma unroll
  for (int k = 0; k < VECTORS; k++) {
    bool is_there = lane + k * lanes < vectors;
    row.keep(k, v[k], is_there);
#pragma unroll
    for (int i = 0; i < ITEMS; i++) most = greater(most, row.number(k, i, is_there));
  }
  most = together<Greatest>(most, group, (T)-INFINITY);
  row.forget_numbers();
  // Of a block's part of a row, all may be the least there is.
  T around = CLUSTER > 1 && most == -INFINITY ? (T)0 : most;
  double sum = 0;
#pragma unroll
  for (int k = 0; k < VECTORS; k++) {
    bool is_there = lane + k * lanes < vectors;
    T part = 0;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      T term = distance_exponential(row.number(k, i, is_there), around);
      part += term;
      row.keep_term(k, i, term);
    }
    sum += (double)part;
  }
  row.forget_numbers();
  Sums all = {most, together<Total>(sum, group, 0.0)};
#if CLUSTER > 1
  all = across_cluster(all);
#endif
  Finish finish(all.most, all.sum);
  if (CLUSTER > 1 && Row<IS_SMALL>::is_rescaled) finish.rescale(exponential(most - all.most));
  OUT::stored *out = static_cast<OUT::stored *>(g.out) + r * g.n;
#pragma unroll
  for (int k = 0; k < VECTORS; k++) {
    OutVector made;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) made.item[i] = as_result(finish.of(row.term(k, i, all.most)));
    if (lane + k * lanes < vectors) reinterpret_cast<OutVector *>(out)[lane + k * lanes] = made;
  }
#if CLUSTER > 1
  wait_for_cluster();
#endif
}

// ---- a second time over the input ---------------------------------------------------------------

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
