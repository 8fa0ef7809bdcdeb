// The three spline primitives on plain arrays. kernels.cpp is compiled once for each instruction set,
// each time in a namespace of its own; spline.cpp picks one of the tables when it is loaded.
#pragma once

#include <cstdint>

namespace kanfield {

// One problem. All arrays are contiguous, row-major; `outputs` is what `padded` of the table gives.
template <typename T>
struct Problem {
  const T* x;       // (samples, inputs)
  const T* lower;   // (inputs)
  const T* scale;   // (inputs) cells per unit of x
  const T* weight;  // (samples, inputs) or null for one
  int64_t samples, inputs, outputs;
  int64_t grid;  // cells
  int order, derivative, threads;  // derivative at most order
};

// The three primitives. Where `base` is not null a layer's smooth branch goes with them: silu(x) beside the
// B_j(x), one row of `base` (inputs, outputs) for each input, derivatives alike. It takes no weight, and
// derivatives up to the first.
template <typename T>
struct Kernels {
  int64_t (*padded)(int64_t outputs);  // to whole registers
  // y (samples, outputs) = sum_ij w B_j(x) coef[i K + j]
  void (*spline_forward)(const Problem<T>&, const T* coef, const T* base, T* y);
  // out (inputs K, outputs) = sum_n w B_j(x) g[n]; base (inputs, outputs) is a result too
  void (*grad_coef)(const Problem<T>&, const T* g, T* out, T* base);
  // p (samples, inputs) = sum_oj B_j(x) coef[i K + j, o] g[n, o]
  void (*grad_input)(const Problem<T>&, const T* coef, const T* base, const T* g, T* p);
};

#define KANFIELD_DECLARE(ISA)        \
  namespace ISA {                    \
  extern const Kernels<float> f32;   \
  extern const Kernels<double> f64;  \
  }
KANFIELD_DECLARE(baseline)
KANFIELD_DECLARE(avx2)
KANFIELD_DECLARE(avx512)

}  // namespace kanfield
