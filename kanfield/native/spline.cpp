// Bindings of the splines: checks shapes and pads outputs to whole vector registers.
#include "module.h"

#include <nanobind/stl/optional.h>

#include <optional>
#include <vector>

namespace kanfield {
namespace {

template <typename T>
Problem<T> problem(const Matrix<T>& x, const std::optional<Matrix<T>>& weight, const Vector<T>& lower,
                   const Vector<T>& scale, int64_t outputs, int64_t grid, int order, int derivative,
                   int threads) {
  require(order >= 1 && order <= kMostOrder, "order must be 1 to 5");
  require(derivative >= 0 && derivative <= order, "derivative must lie between 0 and order");
  require(grid >= 1 && grid <= (int64_t(1) << 24), "a grid has between 1 and 2^24 cells");
  require(threads >= 1, "threads must be at least 1");
  require(lower.shape(0) == x.shape(1) && scale.shape(0) == x.shape(1), "one range per input is needed");
  require(!weight || (weight->shape(0) == x.shape(0) && weight->shape(1) == x.shape(1)),
          "weight must have the shape of x");
  return {x.data(), lower.data(), scale.data(), weight ? weight->data() : nullptr,
          int64_t(x.shape(0)), int64_t(x.shape(1)), outputs, grid, order, derivative, threads};
}

// Rows of `columns` numbers, copied behind one another with `wide` columns, the rest zero.
template <typename T>
std::vector<T> widen(const T* data, int64_t rows, int64_t columns, int64_t wide) {
  std::vector<T> out(rows * wide, T(0));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) out[r * wide + c] = data[r * columns + c];
  return out;
}

template <typename T>
void narrow(const std::vector<T>& data, int64_t rows, int64_t columns, int64_t wide, T* out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) out[r * columns + c] = data[r * wide + c];
}

// The smooth branch of a layer goes with the splines it is asked of.
template <typename T>
void require_branch(const Problem<T>& p, int64_t rows, int64_t columns, int64_t outputs) {
  require(rows == p.inputs && columns == outputs, "base must have shape (inputs, outputs)");
  require(!p.weight && p.derivative <= 1, "base goes without weight, and with derivatives up to 1");
}

template <typename T>
void spline_forward(Matrix<T> x, Matrix<T> coef, std::optional<Matrix<T>> base,
                    std::optional<Matrix<T>> weight, Vector<T> lower, Vector<T> scale, Output<T> y,
                    int64_t grid, int order, int derivative, int threads) {
  const int64_t outputs = coef.shape(1), wide = spline_kernels<T>().padded(outputs);
  const auto p = problem<T>(x, weight, lower, scale, wide, grid, order, derivative, threads);
  const int64_t rows = p.inputs * (grid + order);
  require(int64_t(coef.shape(0)) == rows, "coef must have inputs * (grid + order) rows");
  require(int64_t(y.shape(0)) == p.samples && int64_t(y.shape(1)) == outputs, "y has the wrong shape");
  if (base) require_branch(p, base->shape(0), base->shape(1), outputs);
  nb::gil_scoped_release release;
  if (wide == outputs)
    return spline_kernels<T>().spline_forward(p, coef.data(), base ? base->data() : nullptr, y.data());
  const auto c = widen(coef.data(), rows, outputs, wide);
  const auto b = base ? widen(base->data(), p.inputs, outputs, wide) : std::vector<T>();
  std::vector<T> out(p.samples * wide, T(0));
  spline_kernels<T>().spline_forward(p, c.data(), base ? b.data() : nullptr, out.data());
  narrow(out, p.samples, outputs, wide, y.data());
}

template <typename T>
void grad_coef(Matrix<T> x, std::optional<Matrix<T>> weight, Matrix<T> g, Vector<T> lower, Vector<T> scale,
               Output<T> out, std::optional<Output<T>> base, int64_t grid, int order, int derivative,
               int threads) {
  const int64_t outputs = g.shape(1), wide = spline_kernels<T>().padded(outputs);
  const auto p = problem<T>(x, weight, lower, scale, wide, grid, order, derivative, threads);
  const int64_t rows = p.inputs * (grid + order);
  require(int64_t(g.shape(0)) == p.samples, "g must have one row per sample");
  require(int64_t(out.shape(0)) == rows && int64_t(out.shape(1)) == outputs, "out has the wrong shape");
  if (base) require_branch(p, base->shape(0), base->shape(1), outputs);
  nb::gil_scoped_release release;
  if (wide == outputs) return spline_kernels<T>().grad_coef(p, g.data(), out.data(), base ? base->data() : nullptr);
  const auto gradient = widen(g.data(), p.samples, outputs, wide);
  std::vector<T> sums(rows * wide, T(0)), b(base ? p.inputs * wide : 0, T(0));
  spline_kernels<T>().grad_coef(p, gradient.data(), sums.data(), base ? b.data() : nullptr);
  narrow(sums, rows, outputs, wide, out.data());
  if (base) narrow(b, p.inputs, outputs, wide, base->data());
}

template <typename T>
void grad_input(Matrix<T> x, Matrix<T> coef, std::optional<Matrix<T>> base, Matrix<T> g, Vector<T> lower,
                Vector<T> scale, Output<T> out, int64_t grid, int order, int derivative, int threads) {
  const int64_t outputs = coef.shape(1), wide = spline_kernels<T>().padded(outputs);
  const auto p = problem<T>(x, std::nullopt, lower, scale, wide, grid, order, derivative, threads);
  const int64_t rows = p.inputs * (grid + order);
  require(int64_t(coef.shape(0)) == rows, "coef must have inputs * (grid + order) rows");
  require(int64_t(g.shape(0)) == p.samples && int64_t(g.shape(1)) == outputs, "g has the wrong shape");
  require(int64_t(out.shape(0)) == p.samples && int64_t(out.shape(1)) == p.inputs,
          "out has the wrong shape");
  if (base) require_branch(p, base->shape(0), base->shape(1), outputs);
  nb::gil_scoped_release release;
  const T* smooth = base ? base->data() : nullptr;
  if (wide == outputs) return spline_kernels<T>().grad_input(p, coef.data(), smooth, g.data(), out.data());
  const auto c = widen(coef.data(), rows, outputs, wide);
  const auto b = base ? widen(smooth, p.inputs, outputs, wide) : std::vector<T>();
  const auto gradient = widen(g.data(), p.samples, outputs, wide);
  spline_kernels<T>().grad_input(p, c.data(), base ? b.data() : nullptr, gradient.data(), out.data());
}

template <typename T>
void add(nb::module_& m) {
  m.def("spline_forward", &spline_forward<T>, nb::arg("x").noconvert(), nb::arg("coef").noconvert(),
        nb::arg("base").noconvert().none(), nb::arg("weight").noconvert().none(),
        nb::arg("lower").noconvert(), nb::arg("scale").noconvert(), nb::arg("y").noconvert(),
        nb::arg("grid"), nb::arg("order"), nb::arg("derivative"), nb::arg("threads"));
  m.def("grad_coef", &grad_coef<T>, nb::arg("x").noconvert(), nb::arg("weight").noconvert().none(),
        nb::arg("g").noconvert(), nb::arg("lower").noconvert(), nb::arg("scale").noconvert(),
        nb::arg("out").noconvert(), nb::arg("base").noconvert().none(), nb::arg("grid"), nb::arg("order"),
        nb::arg("derivative"), nb::arg("threads"));
  m.def("grad_input", &grad_input<T>, nb::arg("x").noconvert(), nb::arg("coef").noconvert(),
        nb::arg("base").noconvert().none(), nb::arg("g").noconvert(), nb::arg("lower").noconvert(),
        nb::arg("scale").noconvert(), nb::arg("out").noconvert(), nb::arg("grid"), nb::arg("order"),
        nb::arg("derivative"), nb::arg("threads"));
}

}  // namespace

void add_splines(nb::module_& m) {
  add<float>(m);
  add<double>(m);
}

}  // namespace kanfield
