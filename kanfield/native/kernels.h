// The primitives of splines and of grids on plain arrays. The files of kernels are compiled once for each
// instruction set, each time in a namespace of its own; module.cpp picks one of them when it is loaded.
#pragma once

#include <cstdint>

namespace kanfield {

constexpr int kMostOrder = 5;  // of splines

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
struct SplineKernels {
  int64_t (*padded)(int64_t outputs);  // to whole registers
  // y (samples, outputs) = sum_ij w B_j(x) coef[i K + j]
  void (*spline_forward)(const Problem<T>&, const T* coef, const T* base, T* y);
  // out (inputs K, outputs) = sum_n w B_j(x) g[n]; base (inputs, outputs) is a result too
  void (*grad_coef)(const Problem<T>&, const T* g, T* out, T* base);
  // p (samples, inputs) = sum_oj B_j(x) coef[i K + j, o] g[n, o]
  void (*grad_input)(const Problem<T>&, const T* coef, const T* base, const T* g, T* p);
};

// One level of a multi-resolution grid: a tensor-product spline over [-1, 1]^2 whose coefficients (a row of
// `features` numbers each) lie in a table. Vertex (ix, iy) has entry (ix + rows[iy]) mod size.
struct Level {
  int64_t cells_x, cells_y;
  int64_t size;         // entries
  int64_t offset;       // of the first of them
  const int32_t* rows;  // (cells_y + order), each in [0, size)
};

template <typename T>
struct GridProblem {
  const T* x;  // (samples, 2)
  const Level* levels;
  int64_t samples, num_levels, features;  // features: 1, 2, 4 or 8
  int order, derivative_x, derivative_y, threads;
};

// As for splines: values, their transpose in the table, and their product with a gradient.
template <typename T>
struct GridKernels {
  // y (samples, num_levels features)
  void (*grid_forward)(const GridProblem<T>&, const T* table, T* y);
  // out (entries, features) = the gradient of the table for g (samples, num_levels features)
  void (*grid_table)(const GridProblem<T>&, const T* g, T* out);
  // p (samples) = sum over the columns of y times g
  void (*grid_project)(const GridProblem<T>&, const T* table, const T* g, T* p);
};

#define KANFIELD_DECLARE(ISA)                  \
  namespace ISA {                              \
  extern const SplineKernels<float> spline32;  \
  extern const SplineKernels<double> spline64; \
  extern const GridKernels<float> grid32;      \
  extern const GridKernels<double> grid64;     \
  }
KANFIELD_DECLARE(baseline)
KANFIELD_DECLARE(avx2)
KANFIELD_DECLARE(avx512)

}  // namespace kanfield
