// random.cu -- random numbers, to the bits of engine/tensor/random.c. Macros:
//   OUT, EACH        the types in memory, of the result and of probabilities
//   DRAW             one of the structs below
//   ITEMS, ALIGNED   elements of a thread, a multiple of 4, and whether they are stored as one
#include "types.cuh"
#include "random.h"
#include "tensor/philox.h"
#include "threads.cuh"

// Four elements from number i on, a multiple of 4, of the type MADE.
inline philox_block words(const random_arguments &g, uint64_t i) {
  return philox_draw(g.seed, g.offset, i / 4, 0);
}
inline uint64_t word64(const random_arguments &g, uint64_t i) {
  return philox_word64(philox_draw(g.seed, g.offset, i / 2, 0), i % 2);
}

struct Uniform {
  typedef float32 MADE;
  static void draw(const random_arguments &g, uint64_t i, float *x) {
    float low = (float)g.a, high = (float)g.b, width = (float)(g.b - g.a);
    philox_block block = words(g, i);
    for (int j = 0; j < 4; j++) {
      x[j] = PHILOX_ADD(PHILOX_MUL(philox_uniform(block.word[j], g.digits), width), low);
      x[j] = x[j] < high ? x[j] : low;
    }
  }
};

// For what rounding to the type may still bring to `high`.
struct UniformNarrow {
  typedef float32 MADE;
  static void draw(const random_arguments &g, uint64_t i, float *x) {
    Uniform::draw(g, i, x);
    for (int j = 0; j < 4; j++) {
      x[j] = (float)OUT::load(OUT::store(Cast<OUT, float32>::of(x[j])));
      if (!(x[j] < (float)g.b)) x[j] = (float)g.a;
    }
  }
};

struct Uniform64 {
  typedef float64 MADE;
  static void draw(const random_arguments &g, uint64_t i, double *x) {
    for (int j = 0; j < 4; j++) {
      double u = philox_uniform64(word64(g, i + j));
      x[j] = PHILOX_ADD64(PHILOX_MUL64(u, g.b - g.a), g.a);
      x[j] = x[j] < g.b ? x[j] : g.a;
    }
  }
};

struct Normal {
  typedef float32 MADE;
  static void draw(const random_arguments &g, uint64_t i, float *x) {
    philox_block block = words(g, i);
    philox_normal_pair(block.word[0], block.word[1], &x[0], &x[1]);
    philox_normal_pair(block.word[2], block.word[3], &x[2], &x[3]);
    for (int j = 0; j < 4; j++) x[j] = PHILOX_ADD(PHILOX_MUL(x[j], (float)g.b), (float)g.a);
  }
};

struct Normal64 {
  typedef float64 MADE;
  static void draw(const random_arguments &g, uint64_t i, double *x) {
    for (int j = 0; j < 4; j += 2)
      philox_normal_pair64(word64(g, i + j), word64(g, i + j + 1), &x[j], &x[j + 1]);
    for (int j = 0; j < 4; j++) x[j] = PHILOX_ADD64(PHILOX_MUL64(x[j], g.b), g.a);
  }
};

struct Exponential {
  typedef float32 MADE;
  static void draw(const random_arguments &g, uint64_t i, float *x) {
    philox_block block = words(g, i);
    for (int j = 0; j < 4; j++)
      x[j] = PHILOX_DIV(philox_exponential(block.word[j]), (float)g.a);
  }
};

struct Exponential64 {
  typedef float64 MADE;
  static void draw(const random_arguments &g, uint64_t i, double *x) {
    for (int j = 0; j < 4; j++)
      x[j] = PHILOX_DIV64(-philox_log64(philox_uniform_positive64(word64(g, i + j))), g.a);
  }
};

struct Integers {
  typedef int64 MADE;
  static void draw(const random_arguments &g, uint64_t i, int64_t *x) {
    for (int j = 0; j < 4; j++) {
      philox_u64 number;
      if (!philox_reduce(word64(g, i + j), g.range, &number))
        number = philox_below(g.seed, g.offset, i + j, g.range);
      x[j] = (int64_t)(g.low + number);
    }
  }
};

// Keys in whose order numbers stand in a permutation: the words, as numbers that order alike.
struct Keys {
  typedef int64 MADE;
  static void draw(const random_arguments &g, uint64_t i, int64_t *x) {
    for (int j = 0; j < 4; j++) x[j] = (int64_t)(word64(g, i + j) ^ (uint64_t)1 << 63);
  }
};

struct Coins {
  typedef float32 MADE;
  static void draw(const random_arguments &g, uint64_t i, float *x) {
    philox_block block = words(g, i);
    for (int j = 0; j < 4; j++) x[j] = block.word[j] * 0x1p-32 < g.a;
  }
};

struct CoinsEach {
  typedef float32 MADE;
  static void draw(const random_arguments &g, uint64_t i, float *x) {
    const EACH::stored *p = static_cast<const EACH::stored *>(g.each);
    philox_block block = words(g, i);
    for (int j = 0; j < 4; j++)
      x[j] = i + j < g.count && block.word[j] * 0x1p-32 < (double)EACH::load(p[i + j]);
  }
};

extern "C" __global__ void __launch_bounds__(RANDOM_THREADS)
draw_numbers(const __grid_constant__ random_arguments g) {
  int64_t first = ((int64_t)blockIdx.x * RANDOM_THREADS + threadIdx.x) * ITEMS;
  if (first >= g.count) return;
  Items<OUT::stored, ITEMS> made;
#pragma unroll
  for (int i = 0; i < ITEMS; i += 4) {
    DRAW::MADE::number x[4];
    DRAW::draw(g, first + i, x);
#pragma unroll
    for (int j = 0; j < 4; j++) made.item[i + j] = OUT::store(Cast<OUT, DRAW::MADE>::of(x[j]));
  }
  OUT::stored *to = static_cast<OUT::stored *>(g.out) + first;
  if (ALIGNED && first + ITEMS <= g.count) {
    *reinterpret_cast<Items<OUT::stored, ITEMS> *>(to) = made;
    return;
  }
#pragma unroll
  for (int i = 0; i < ITEMS; i++)
    if (first + i < g.count) to[i] = made.item[i];
}
