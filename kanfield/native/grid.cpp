// Bindings of the grids: checks shapes and lays out the rows of every level.
#include "module.h"

#include <vector>

namespace kanfield {
namespace {

template <typename T>
struct Prepared {
  std::vector<int32_t> rows;
  std::vector<Level> levels;
  GridProblem<T> problem;
};

// `layout` has a row for each level: cells along x and y, entries, the first of them, and the multiplier that
// takes a row of vertices to its place.
template <typename T>
Prepared<T> prepare(const Matrix<T>& x, const Matrix<int64_t>& layout, int64_t features, int64_t entries,
                    int order, int derivative_x, int derivative_y, int threads) {
  require(order >= 1 && order <= 3, "order must be 1, 2 or 3");
  require(derivative_x >= 0 && derivative_y >= 0, "derivatives must not be negative");
  require(derivative_x <= order && derivative_y <= order, "derivatives must not exceed the order");
  require(features == 1 || features == 2 || features == 4 || features == 8, "features must be 1, 2, 4 or 8");
  require(x.shape(1) == 2, "x must have two columns");
  require(layout.shape(1) == 5, "layout must have five columns");
  require(threads >= 1, "threads must be at least 1");
  Prepared<T> out;
  const int64_t count = layout.shape(0);
  int64_t total = 0;
  for (int64_t l = 0; l < count; ++l) {
    const int64_t* level = layout.data() + 5 * l;
    const bool fits = level[2] >= 1 && level[3] >= 0 && level[3] + level[2] <= entries &&
                      level[2] <= INT32_MAX;
    require(fits, "a level's entries must lie in the table");
    require(level[0] >= 1 && level[1] >= 1 && level[0] <= (1 << 22) && level[1] <= (1 << 22),
            "a level must have between 1 and 2^22 cells a side");
    total += level[1] + order;
  }
  out.rows.resize(total);
  int32_t* rows = out.rows.data();
  for (int64_t l = 0; l < count; ++l) {
    const int64_t* level = layout.data() + 5 * l;
    const uint32_t multiplier = uint32_t(level[4]), size = uint32_t(level[2]);
    out.levels.push_back({level[0], level[1], level[2], level[3], rows});
    for (uint32_t y = 0; y < level[1] + order; ++y) *rows++ = int32_t(y * multiplier % size);
  }
  out.problem = {x.data(), out.levels.data(), int64_t(x.shape(0)), count, features,
                 order, derivative_x, derivative_y, threads};
  return out;
}

template <typename T>
void grid_forward(Matrix<T> x, Matrix<T> table, Matrix<int64_t> layout, Output<T> y, int order,
                  int derivative_x, int derivative_y, int threads) {
  const auto p = prepare<T>(x, layout, table.shape(1), table.shape(0), order, derivative_x, derivative_y, threads);
  require(y.shape(0) == x.shape(0) && y.shape(1) == layout.shape(0) * table.shape(1), "y has the wrong shape");
  nb::gil_scoped_release release;
  grid_kernels<T>().grid_forward(p.problem, table.data(), y.data());
}

template <typename T>
void grid_table(Matrix<T> x, Matrix<T> g, Matrix<int64_t> layout, Output<T> out, int order, int derivative_x,
                int derivative_y, int threads) {
  const auto p = prepare<T>(x, layout, out.shape(1), out.shape(0), order, derivative_x, derivative_y, threads);
  require(g.shape(0) == x.shape(0) && g.shape(1) == layout.shape(0) * out.shape(1), "g has the wrong shape");
  nb::gil_scoped_release release;
  grid_kernels<T>().grid_table(p.problem, g.data(), out.data());
}

template <typename T>
void grid_project(Matrix<T> x, Matrix<T> table, Matrix<T> g, Matrix<int64_t> layout, Output<T> out, int order,
                  int derivative_x, int derivative_y, int threads) {
  const auto p = prepare<T>(x, layout, table.shape(1), table.shape(0), order, derivative_x, derivative_y, threads);
  require(g.shape(0) == x.shape(0) && g.shape(1) == layout.shape(0) * table.shape(1), "g has the wrong shape");
  require(out.shape(0) == x.shape(0) && out.shape(1) == 1, "out has the wrong shape");
  nb::gil_scoped_release release;
  grid_kernels<T>().grid_project(p.problem, table.data(), g.data(), out.data());
}

template <typename T>
void add(nb::module_& m) {
  m.def("grid_forward", &grid_forward<T>, nb::arg("x").noconvert(), nb::arg("table").noconvert(),
        nb::arg("layout").noconvert(), nb::arg("y").noconvert(), nb::arg("order"), nb::arg("derivative_x"),
        nb::arg("derivative_y"), nb::arg("threads"));
  m.def("grid_table", &grid_table<T>, nb::arg("x").noconvert(), nb::arg("g").noconvert(),
        nb::arg("layout").noconvert(), nb::arg("out").noconvert(), nb::arg("order"), nb::arg("derivative_x"),
        nb::arg("derivative_y"), nb::arg("threads"));
  m.def("grid_project", &grid_project<T>, nb::arg("x").noconvert(), nb::arg("table").noconvert(),
        nb::arg("g").noconvert(), nb::arg("layout").noconvert(), nb::arg("out").noconvert(), nb::arg("order"),
        nb::arg("derivative_x"), nb::arg("derivative_y"), nb::arg("threads"));
}

}  // namespace

void add_grids(nb::module_& m) {
  add<float>(m);
  add<double>(m);
}

}  // namespace kanfield
