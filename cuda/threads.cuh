// threads.cuh -- passing values between the threads of a warp, whatever their type.
#pragma once
#include "prelude.cuh"

#define WHOLE_WARP 0xFFFFFFFFu

// `value` of the lane `apart` lanes on, as every lane of the warp asks for it.
template <typename V> inline V from_lane_after(const V &value, int apart) {
  static_assert(sizeof(V) % 4 == 0, "values go in words");
  uint32_t word[sizeof(V) / 4];
  V other;
  memcpy(word, &value, sizeof value);
#pragma unroll
  for (int i = 0; i < sizeof(V) / 4; i++) word[i] = __shfl_down_sync(WHOLE_WARP, word[i], apart);
  memcpy(&other, word, sizeof other);
  return other;
}

template <typename V> inline V from_lane_before(const V &value, int apart) {
  static_assert(sizeof(V) % 4 == 0, "values go in words");
  uint32_t word[sizeof(V) / 4];
  V other;
  memcpy(word, &value, sizeof value);
#pragma unroll
  for (int i = 0; i < sizeof(V) / 4; i++) word[i] = __shfl_up_sync(WHOLE_WARP, word[i], apart);
  memcpy(&other, word, sizeof other);
  return other;
}

// Of the lane whose number differs in the bits of `mask`: a sum over both is the same in both.
template <typename V> inline V from_lane_across(const V &value, int mask) {
  static_assert(sizeof(V) % 4 == 0, "values go in words");
  uint32_t word[sizeof(V) / 4];
  V other;
  memcpy(word, &value, sizeof value);
#pragma unroll
  for (int i = 0; i < sizeof(V) / 4; i++) word[i] = __shfl_xor_sync(WHOLE_WARP, word[i], mask);
  memcpy(&other, word, sizeof other);
  return other;
}

// Elements that one instruction loads.
template <typename Stored, int items> struct alignas(items * sizeof(Stored)) Items {
  Stored item[items];
};

// The greater of two, NaN before all.
inline float greater(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float most;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
  return most;
#else
  return a > b || a != a ? a : b;
#endif
}
inline double greater(double a, double b) { return a > b || a != a ? a : b; }
inline float lesser(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float least;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));
  return least;
#else
  return a < b || a != a ? a : b;
#endif
}
inline double lesser(double a, double b) { return a < b || a != a ? a : b; }
template <typename I> inline I greater(I a, I b) { return a > b ? a : b; }
template <typename I> inline I lesser(I a, I b) { return a < b ? a : b; }

template <typename N> inline N exponential(N x) { return (N)exp((double)x); }
inline float exponential(float x) { return expf(x); }
