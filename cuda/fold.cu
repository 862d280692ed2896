// fold.cu -- many elements to one. Macros:
//   IN, OUT          the types in memory
//   MADE, ACCUMULATE what sums are of: float64 and double, or int64 and uint64_t
//   FOLD             one of the structs below
//   LAYOUT           how the elements of one result lie: RUNS, neighbours in memory;
//                    ELEMENTS, anywhere, ITEMS neighbours at a time; COLUMNS, neighbours belong to
//                    ITEMS different results
// The elements of a result are shared out by their number alone, and parts are put together in one
// order, so that the result is the same in every run.
#include "types.cuh"
#include "places.cuh"
#include "threads.cuh"

#define RUNS 0
#define ELEMENTS 1
#define COLUMNS 2
#define UNROLL 4

typedef IN::stored Stored;
typedef IN::number T;
typedef OUT::number Result;
typedef ACCUMULATE A;

inline Result as_result(A x) { return Cast<OUT, MADE>::of((MADE::number)x); }
inline void store_number(const fold_arguments &g, int64_t to, double x) {
  static_cast<OUT::stored *>(g.out)[to] = OUT::store(Cast<OUT, float64>::of(x));
}

// What is held in registers and passed between threads: words.
template <typename N> struct Held { typedef int32_t type; };
template <> struct Held<float> { typedef float type; };
template <> struct Held<double> { typedef double type; };
template <> struct Held<int64_t> { typedef int64_t type; };
typedef Held<T>::type H;

template <typename N> struct Extremes {
  static N least() { return -INFINITY; }
  static N most() { return INFINITY; }
  static const bool has_nan = true;
};
template <> struct Extremes<int32_t> {
  static int32_t least() { return (int32_t)0x80000000; }
  static int32_t most() { return 0x7FFFFFFF; }
  static const bool has_nan = false;
};
template <> struct Extremes<int64_t> {
  static int64_t least() { return INT64_MIN; }
  static int64_t most() { return INT64_MAX; }
  static const bool has_nan = false;
};

// ---- the folds ----------------------------------------------------------------------------------
// Own is what a thread folds into: n elements numbered at, at + apart... within what the thread's
// block folds. Part is what is put together with others; `first` is the number of the block's first
// element.

// What a few neighbours are added up in before they are widened: floats as on the CPU, small
// integers without loss.
template <typename N, int size> struct Near { typedef int32_t type; };
template <int size> struct Near<float, size> { typedef float type; };
template <typename N> struct Near<N, 4> { typedef A type; };
template <typename N> struct Near<N, 8> { typedef A type; };
template <> struct Near<float, 4> { typedef float type; };

template <typename N, int n> inline N sum_of(const T *x) {
  if constexpr (n == 1) return (N)x[0];
  else return sum_of<N, n / 2>(x) + sum_of<N, n - n / 2>(x + n / 2);
}

struct Sum {
  typedef A Own, Part;
  static Own start() { return 0; }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    a += (A)sum_of<Near<T, sizeof(Stored)>::type, n>(x);
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) { a += b; }
  static void store(const fold_arguments &g, int64_t to, Part a) {
    if (g.scale != 0) a = (A)((double)a * g.scale);
    static_cast<OUT::stored *>(g.out)[to] = OUT::store(as_result(a));
  }
};

struct Product {
  typedef A Own, Part;
  static Own start() { return 1; }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    A product = (A)x[0];
    for (int i = 1; i < n; i++) product *= (A)x[i];
    a *= product;
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) { a *= b; }
  static void store(const fold_arguments &g, int64_t to, Part a) { Sum::store(g, to, a); }
};

struct Squares {
  typedef A Own, Part;
  static Own start() { return 0; }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    A sum = 0;
    for (int i = 0; i < n; i++) sum += (A)x[i] * (A)x[i];
    a += sum;
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) { a += b; }
  static void store(const fold_arguments &g, int64_t to, Part a) {
    Sum::store(g, to, (A)sqrt((double)a));
  }
};

struct Most {
  typedef H Own, Part;
  static Own start() { return Extremes<H>::least(); }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    for (int i = 0; i < n; i++) a = greater(a, (H)x[i]);
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) { a = greater(a, b); }
  static void store(const fold_arguments &g, int64_t to, Part a) {
    static_cast<OUT::stored *>(g.out)[to] = OUT::store((Result)a);
  }
};

struct Least {
  typedef H Own, Part;
  static Own start() { return Extremes<H>::most(); }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    for (int i = 0; i < n; i++) a = lesser(a, (H)x[i]);
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) { a = lesser(a, b); }
  static void store(const fold_arguments &g, int64_t to, Part a) { Most::store(g, to, a); }
};

struct Any {
  typedef int32_t Own, Part;
  static Own start() { return 0; }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    for (int i = 0; i < n; i++) a |= x[i] != 0;
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) { a |= b; }
  static void store(const fold_arguments &g, int64_t to, Part a) {
    static_cast<OUT::stored *>(g.out)[to] = OUT::store((Result)a);
  }
};

struct All {
  typedef int32_t Own, Part;
  static Own start() { return 1; }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    for (int i = 0; i < n; i++) a &= x[i] != 0;
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) { a &= b; }
  static void store(const fold_arguments &g, int64_t to, Part a) { Any::store(g, to, a); }
};

// The extreme and where it is: the first of equal ones, NaN before all. Where nothing is beyond the
// start all elements equal it, and the first is meant.
template <bool is_most> struct FirstExtreme {
  struct Own {
    H value;
    uint32_t at;
  };
  struct alignas(8) Part {
    H value;
    int64_t at;
  };
  static const uint32_t nowhere = 0xFFFFFFFF;
  static bool is_beyond(H x, H old) {
    bool is_kept = is_most ? x <= old : x >= old; // false where one is NaN
    return !is_kept && (!Extremes<H>::has_nan || old == old);
  }
  static Own start() {
    return {is_most ? Extremes<H>::least() : Extremes<H>::most(), nowhere};
  }
  template <int n>
  static void add(Own &a, const T (&x)[n], uint32_t at, uint32_t apart) {
    H best = (H)x[0]; // mostly it is not beyond, and no element needs to be looked at
    for (int i = 1; i < n; i++) best = is_most ? greater(best, (H)x[i]) : lesser(best, (H)x[i]);
    if (!is_beyond(best, a.value)) return;
    for (int i = 0; i < n; i++) {
      if (!is_beyond((H)x[i], a.value)) continue;
      a.value = (H)x[i];
      a.at = at + i * apart;
    }
  }
  static Part part(const Own &a, int64_t first) {
    Part p;
    p.value = a.value;
    p.at = a.at == nowhere ? INT64_MAX : first + a.at;
    return p;
  }
  static void merge(Part &a, const Part &b) {
    bool is_same = a.value == b.value || (a.value != a.value && b.value != b.value);
    if (is_beyond(b.value, a.value) || (is_same && b.at < a.at)) a = b;
  }
  static void store(const fold_arguments &g, int64_t to, Part a) {
    if (g.indices) static_cast<int64_t *>(g.indices)[to] = a.at == INT64_MAX ? 0 : a.at;
    if (g.out) static_cast<OUT::stored *>(g.out)[to] = OUT::store((Result)a.value);
  }
};
typedef FirstExtreme<true> FirstMost;
typedef FirstExtreme<false> FirstLeast;

// Mean and sum of squared deviations from it, put together as by Chan, Golub and LeVeque, "Updating
// formulae and a pairwise algorithm for computing sample variances" (1979).
struct Variance {
  struct Own {
    double count, mean, squares;
  };
  typedef Own Part;
  static Own start() { return {0, 0, 0}; }
  static void merge(Own &a, const Own &b) {
    double count = a.count + b.count, apart = b.mean - a.mean;
    if (b.count == 0) return;
    double share = b.count / count;
    a.mean += apart * share;
    a.squares += b.squares + apart * apart * a.count * share;
    a.count = count;
  }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i];
    double mean = sum * (1.0 / n);
    for (int i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    merge(a, {n, mean, squares});
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void store(const fold_arguments &g, int64_t to, Part a) {
    double rest = a.count - g.correction, variance = a.squares / (rest > 0 ? rest : 0);
    store_number(g, to, g.root ? sqrt(variance) : variance);
  }
};

// The greatest, and the sum of exponentials of the distances from it.
struct Exponentials {
  struct Own {
    H most;
    double sum;
  };
  typedef Own Part;
  static H finite(H x) { return x == INFINITY || x == -INFINITY ? (H)0 : x; }
  // What a sum of exponentials around `old` is multiplied with to be one around `now`.
  static double rescaled(H old, H now) {
    return old == -INFINITY ? 0.0 : (double)exponential(finite(old) - finite(now));
  }
  static Own start() { return {(H)-INFINITY, 0}; }
  template <int n> static void add(Own &a, const T (&x)[n], uint32_t, uint32_t) {
    H most = (H)x[0];
    for (int i = 1; i < n; i++) most = greater(most, (H)x[i]);
    if (!(most <= a.most)) {
      a.sum *= rescaled(a.most, most);
      a.most = most;
    }
    H around = finite(a.most), sum = 0;
    for (int i = 0; i < n; i++) sum += exponential((H)x[i] - around);
    a.sum += (double)sum;
  }
  static Part part(const Own &a, int64_t) { return a; }
  static void merge(Part &a, const Part &b) {
    H most = greater(a.most, b.most);
    a.sum = a.sum * rescaled(a.most, most) + b.sum * rescaled(b.most, most);
    a.most = most;
  }
  static void store(const fold_arguments &g, int64_t to, Part a) {
    store_number(g, to, log(a.sum) + (double)finite(a.most));
  }
};

// As they are, for the softmax that goes over its input a second time.
struct Softmax : Exponentials {
  static void store(const fold_arguments &g, int64_t to, Part a) {
    static_cast<Part *>(g.out)[to] = a;
  }
};

typedef FOLD Fold;
typedef Fold::Own Own;
typedef Fold::Part Part;

// ---- where things are ---------------------------------------------------------------------------

#if LAYOUT == COLUMNS
#define RESULTS ITEMS
#else
#define RESULTS 1
#endif

// A result, or this block's part of it.
inline void store(const fold_arguments &g, int64_t output, const Part &part) {
  if (g.parts) {
    int64_t at = output * g.part_output + blockIdx.y * g.part_split;
    static_cast<Part *>(g.parts)[at] = part;
    return;
  }
  Fold::store(g, place(g.kept, g.kept.to, output / RESULTS) + output % RESULTS * g.to_item, part);
}

// ---- putting parts together ---------------------------------------------------------------------

// The parts of each `group` of neighbouring threads, in its first thread.
inline void merge_group(Part &part, int group) {
  __shared__ Part of_warp[FOLD_THREADS / 32];
  for (int apart = (group < 32 ? group : 32) / 2; apart > 0; apart /= 2) {
    Part other = from_lane_after(part, apart);
    Fold::merge(part, other);
  }
  if (group <= 32) return;
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = part;
  __syncthreads();
  if (threadIdx.x & (group - 1)) return;
  for (int i = 1; i < group / 32; i++) Fold::merge(part, of_warp[threadIdx.x / 32 + i]);
}

typedef Items<Stored, ITEMS> Vector;

inline void add_vector(Own &own, const Vector &v, uint32_t at) {
  T x[ITEMS];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) x[i] = IN::load(v.item[i]);
  Fold::add(own, x, at, 1);
}

inline void add_one(Own &own, Stored stored, uint32_t at) {
  T x[1] = {IN::load(stored)};
  Fold::add(own, x, at, 1);
}

// ---- the layouts --------------------------------------------------------------------------------

#if LAYOUT != COLUMNS

// n vectors, of which this thread takes every group-th: place_of(i) is where number i lies.
template <typename PlaceOf>
inline void fold_vectors(Own &own, int64_t n, uint32_t lane, uint32_t group, uint32_t first,
                         PlaceOf place_of) {
  Vector v[UNROLL];
  int64_t i = lane;
  for (; i + (UNROLL - 1) * (int64_t)group < n; i += UNROLL * (int64_t)group) {
#pragma unroll
    for (int k = 0; k < UNROLL; k++) v[k] = *place_of(i + k * (int64_t)group);
#pragma unroll
    for (int k = 0; k < UNROLL; k++)
      add_vector(own, v[k], first + (uint32_t)(i + k * (int64_t)group) * ITEMS);
  }
#pragma unroll
  for (int k = 0; k < UNROLL - 1; k++)
    if (i + k * (int64_t)group < n) v[k] = *place_of(i + k * (int64_t)group);
#pragma unroll
  for (int k = 0; k < UNROLL - 1; k++)
    if (i + k * (int64_t)group < n)
      add_vector(own, v[k], first + (uint32_t)(i + k * (int64_t)group) * ITEMS);
}

extern "C" __global__ void __launch_bounds__(FOLD_THREADS)
fold(const __grid_constant__ fold_arguments g) {
  uint32_t group = 1u << g.group_log, lane = threadIdx.x & (group - 1);
  int64_t first_output = (int64_t)blockIdx.x * (FOLD_THREADS >> g.group_log);
  int64_t output = first_output + (threadIdx.x >> g.group_log);
  int64_t first = blockIdx.y * g.split, last = first + g.split;
  if (last > g.inputs) last = g.inputs;
  Own own = Fold::start();
  if (output < g.outputs && first < last) {
    const Stored *from = static_cast<const Stored *>(g.in) + place(g.kept, g.kept.from, output);
#if LAYOUT == RUNS
    from += first;
    int64_t n = last - first;
    uint32_t head = (uint32_t)(-(uintptr_t)from % sizeof(Vector)) / sizeof(Stored);
    if (head > n) head = (uint32_t)n;
    for (uint32_t i = lane; i < head; i += group) add_one(own, from[i], i);
    const Vector *vectors = reinterpret_cast<const Vector *>(from + head);
    int64_t count = (uint64_t)(n - head) / ITEMS;
    fold_vectors(own, count, lane, group, head, [&](int64_t i) { return vectors + i; });
    for (int64_t i = head + count * ITEMS + lane; i < n; i += group)
      add_one(own, from[i], (uint32_t)i);
#else
    int64_t begin = first / ITEMS;
    fold_vectors(own, (last - first) / ITEMS, lane, group, 0, [&](int64_t i) {
      return reinterpret_cast<const Vector *>(from + place(g.gone, g.gone.from, begin + i));
    });
#endif
  }
  Part part = Fold::part(own, first);
  merge_group(part, group);
  if (lane == 0 && output < g.outputs) store(g, output, part);
}

#else

// `group` threads, FOLD_THREADS / group apart, work on the same ITEMS columns.
extern "C" __global__ void __launch_bounds__(FOLD_THREADS)
fold(const __grid_constant__ fold_arguments g) {
  __shared__ Part shared[FOLD_THREADS];
  uint32_t group = 1u << g.group_log, lanes = FOLD_THREADS >> g.group_log;
  uint32_t lane = threadIdx.x & (lanes - 1), row = threadIdx.x / lanes;
  int64_t column = ((int64_t)blockIdx.x * lanes + lane) * ITEMS;
  int64_t first = blockIdx.y * g.split, last = first + g.split;
  if (last > g.inputs) last = g.inputs;
  Own own[ITEMS];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) own[i] = Fold::start();
  if (column < g.outputs) {
    const Stored *from =
      static_cast<const Stored *>(g.in) + place(g.kept, g.kept.from, column / ITEMS);
    auto place_of = [&](int64_t i) {
      return reinterpret_cast<const Vector *>(from + place(g.gone, g.gone.from, i));
    };
    int64_t i = first + row;
    for (; i + (UNROLL - 1) * (int64_t)group < last; i += UNROLL * (int64_t)group) {
      Vector v[UNROLL];
#pragma unroll
      for (int k = 0; k < UNROLL; k++) v[k] = *place_of(i + k * (int64_t)group);
#pragma unroll
      for (int c = 0; c < ITEMS; c++) {
        T x[UNROLL];
#pragma unroll
        for (int k = 0; k < UNROLL; k++) x[k] = IN::load(v[k].item[c]);
        Fold::add(own[c], x, (uint32_t)(i - first), group);
      }
    }
    for (; i < last; i += group) {
      Vector v = *place_of(i);
#pragma unroll
      for (int c = 0; c < ITEMS; c++) add_one(own[c], v.item[c], (uint32_t)(i - first));
    }
  }
#pragma unroll
  for (int c = 0; c < ITEMS; c++) {
    Part part = Fold::part(own[c], first);
#pragma unroll 1
    for (uint32_t half = group / 2; half > 0; half /= 2) {
      __syncthreads();
      shared[threadIdx.x] = part;
      __syncthreads();
      if (row < half) Fold::merge(part, shared[threadIdx.x + half * lanes]);
    }
    if (row == 0 && column < g.outputs) store(g, column + c, part);
  }
}

#endif

// The parts of every result to the result. `inputs` of them.
extern "C" __global__ void __launch_bounds__(FOLD_THREADS)
fold_parts(const __grid_constant__ fold_arguments g) {
  uint32_t group = 1u << g.group_log, lane = threadIdx.x & (group - 1);
  int64_t first_output = (int64_t)blockIdx.x * (FOLD_THREADS >> g.group_log);
  int64_t output = first_output + (threadIdx.x >> g.group_log);
  Part part = Fold::part(Fold::start(), 0);
  if (output < g.outputs) {
    const Part *from = static_cast<const Part *>(g.parts) + output * g.part_output;
    for (int64_t i = lane; i < g.inputs; i += group) {
      Part other = from[i * g.part_split];
      Fold::merge(part, other);
    }
  }
  merge_group(part, group);
  if (lane != 0 || output >= g.outputs) return;
  Fold::store(g, place(g.kept, g.kept.to, output / RESULTS) + output % RESULTS * g.to_item, part);
}
