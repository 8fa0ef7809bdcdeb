// What the bindings share: arrays, checks, and the kernels for the best instruction set of this processor.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "kernels.h"

namespace kanfield {

namespace nb = nanobind;

template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Output = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

struct InstructionSet {
  const char* name;
  const SplineKernels<float>* spline32;
  const SplineKernels<double>* spline64;
  const GridKernels<float>* grid32;
  const GridKernels<double>* grid64;
};

const InstructionSet& instruction_set();

template <typename T>
const SplineKernels<T>& spline_kernels() {
  if constexpr (sizeof(T) == 4) return *instruction_set().spline32;
  else return *instruction_set().spline64;
}
template <typename T>
const GridKernels<T>& grid_kernels() {
  if constexpr (sizeof(T) == 4) return *instruction_set().grid32;
  else return *instruction_set().grid64;
}

inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

void add_splines(nb::module_& m);
void add_grids(nb::module_& m);

}  // namespace kanfield
