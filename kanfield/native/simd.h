// Registers of numbers. Each file of kernels includes this, in the namespace of its instruction set.
#pragma once

#include "kernels.h"

#include <cstddef>

namespace kanfield::KANFIELD_ISA {
namespace {

// Loops over taps and registers of a tile must unroll, or their sums would live in memory.
#define UNROLL _Pragma("GCC unroll 16")

// A register of numbers, one of integers of the same size, and the cells that so many numbers lie in.
template <typename T, int BYTES = KANFIELD_VECTOR_BYTES>
struct Simd;
template <int BYTES>
struct Simd<float, BYTES> {
  typedef float vec __attribute__((vector_size(BYTES)));
  typedef int32_t index __attribute__((vector_size(BYTES)));
  typedef int32_t cells __attribute__((vector_size(BYTES)));
  static constexpr int width = BYTES / sizeof(float);
};
template <int BYTES>
struct Simd<double, BYTES> {
  typedef double vec __attribute__((vector_size(BYTES)));
  typedef int64_t index __attribute__((vector_size(BYTES)));
  typedef int32_t cells __attribute__((vector_size(BYTES / 2)));
  static constexpr int width = BYTES / sizeof(double);
};

// memcpy compiles to one unaligned move and says nothing false about types or alignment.
template <int BYTES = KANFIELD_VECTOR_BYTES, typename T>
inline typename Simd<T, BYTES>::vec load(const T* p) {
  typename Simd<T, BYTES>::vec v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
template <typename T, typename V>
inline void store(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Results are zeroed block by block, by the thread that is about to add to them.
template <typename T>
inline void clear(T* p, int64_t count) {
  __builtin_memset(p, 0, size_t(count) * sizeof(T));
}

}  // namespace
}  // namespace kanfield::KANFIELD_ISA
