// Compiled once for each instruction set, as spline_kernels.cpp and with the same care.
#include "simd.h"

namespace kanfield::KANFIELD_ISA {
namespace {

constexpr int kSamples = 128;  // samples in a block

// Coefficients of powers of t in [0, 1] of a cell, for the B-splines of order K that do not vanish on it or for
// their derivative, times `factor`: zero past the last tap.
template <typename T>
struct Powers {
  T c[4][4];  // power, tap

  Powers(int order, int derivative, T factor) {
    const double basis[3][4][4] = {
        {{1, 0, 0, 0}, {-1, 1, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {{1. / 2, 1. / 2, 0, 0}, {-1, 1, 0, 0}, {1. / 2, -1, 1. / 2, 0}, {0, 0, 0, 0}},
        {{1. / 6, 4. / 6, 1. / 6, 0}, {-1. / 2, 0, 1. / 2, 0}, {1. / 2, -1, 1. / 2, 0},
         {-1. / 6, 1. / 2, -1. / 2, 1. / 6}}};
    for (int p = 0; p < 4; ++p)
      for (int tap = 0; tap < 4; ++tap) {
        double value = p + derivative < 4 ? basis[order - 1][p + derivative][tap] : 0;
        for (int v = 1; v <= derivative; ++v) value *= p + v;
        c[p][tap] = T(value) * factor;
      }
  }
};

// One axis of a level, for a block of samples.
template <typename T, int K>
struct Axis {
  T t[kSamples];           // within the cell, 0 to 1
  T weights[K + 1][kSamples];
  int32_t cells[kSamples];

  // Beyond the grid its border's value goes on: derivatives are zero there.
  void locate(const T* x, int samples, int64_t count, int derivative, bool weighted) {
    constexpr int W = Simd<T>::width;
    typedef typename Simd<T>::vec vec;
    const T half = T(count) / 2;
    const vec zero = {}, last = zero + T(count - 1), end = zero + T(count);
    T factor = 1;
    for (int v = 0; v < derivative; ++v) factor *= half;
    const Powers<T> powers(K, derivative, factor);
    for (int n = 0; n < samples; n += W) {
      const vec u = (load(x + n) + 1) * half;  // a sum, then a product, nothing to fuse
      vec inside = u > zero ? u : zero;        // a NaN goes to cell 0
      inside = inside < last ? inside : last;
      const vec cell = __builtin_convertvector(__builtin_convertvector(inside, typename Simd<T>::index), vec);
      vec local = u < zero ? zero : u > end ? end : u;  // a NaN stays
      local -= cell;
      store(t + n, local);
      store(cells + n, __builtin_convertvector(cell, typename Simd<T>::cells));
      if (!weighted) continue;
      const auto out = (u < zero) | (u > end);
      UNROLL for (int j = 0; j <= K; ++j) {
        vec b = zero + powers.c[K][j];
        UNROLL for (int p = K - 1; p >= 0; --p) b = b * local + powers.c[p][j];
        if (derivative) b = out ? zero : b;
        store(weights[j] + n, b);
      }
    }
  }
};

// A level at a block of samples: entries and weights of all taps. A row of taps is one register, T x P x F,
// whose taps past the last weigh nothing; what lies there shows only if it is infinite or NaN.
template <typename T, int K, int F>
struct Taps {
  static constexpr int P = K == 1 ? 2 : 4, WIDTH = P * F;
  typedef T row __attribute__((vector_size(sizeof(T) * WIDTH)));
  const Level& level;
  Axis<T, K> x, y;
  row powers[K + 1];    // of x's taps, each for all features

  Taps(const GridProblem<T>& p, const Level& l, const T* xs, const T* ys, int samples) : level(l) {
    x.locate(xs, samples, l.cells_x, p.derivative_x, false);
    y.locate(ys, samples, l.cells_y, p.derivative_y, true);
    T factor = 1;
    for (int v = 0; v < p.derivative_x; ++v) factor *= T(l.cells_x) / 2;
    const Powers<T> c(K, p.derivative_x, factor);
    for (int power = 0; power <= K; ++power)
      for (int tap = 0; tap < P; ++tap)
        for (int f = 0; f < F; ++f) powers[power][tap * F + f] = tap <= K ? c.c[power][tap] : T(0);
    if (p.derivative_x) {
      for (int n = 0; n < samples; ++n) {
        const T u = (xs[n] + 1) * (T(l.cells_x) / 2);
        const T keep = u < 0 || u > T(l.cells_x) ? T(0) : T(1);
        for (int j = 0; j <= K; ++j) y.weights[j][n] *= keep;
      }
    }
  }

  row weights(int n) const {
    row b = powers[K];
    UNROLL for (int p = K - 1; p >= 0; --p) b = b * x.t[n] + powers[p];
    return b;
  }

  // Calls whole(first entry) where a row of taps lies together in the table, else tap(entry, tap) for each.
  template <typename Whole, typename Tap>
  void over_row(int n, int j, Whole whole, Tap tap) const {
    int64_t first = int64_t(level.rows[y.cells[n] + j]) + x.cells[n];
    if (first >= level.size) first %= level.size;
    if (first + P <= level.size) {
      whole(level.offset + first);
    } else {
      for (int i = 0; i <= K; ++i) tap(level.offset + (first + i) % level.size, i);
    }
  }

  row load_row(const T* table, int n, int j) const {
    row values;
    over_row(
        n, j, [&](int64_t entry) { __builtin_memcpy(&values, table + entry * F, sizeof(row)); },
        [&](int64_t entry, int i) {
          if (i == 0) values = row{};
          for (int f = 0; f < F; ++f) values[i * F + f] = table[entry * F + f];
        });
    return values;
  }

  row sum(const T* table, int n) const {
    row total = {};
    UNROLL for (int j = 0; j <= K; ++j) total += y.weights[j][n] * load_row(table, n, j);
    return total * weights(n);
  }
};

// Sums of the taps of a row, one for each feature.
template <typename T, int WIDTH, int F, typename V>
inline void fold(const V& v, T* out) {
  if constexpr (WIDTH == F) {
    __builtin_memcpy(out, &v, sizeof(T) * F);
  } else {
    typedef T half __attribute__((vector_size(sizeof(T) * WIDTH / 2)));
    half low, high;
    __builtin_memcpy(&low, &v, sizeof(half));
    __builtin_memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(half), sizeof(half));
    low += high;
    fold<T, WIDTH / 2, F>(low, out);
  }
}

// The coordinates of a block, axis by axis; whole registers of them are read.
template <typename T>
struct Points {
  T x[kSamples] = {}, y[kSamples] = {};
  Points(const T* coords, int samples) {
    for (int n = 0; n < samples; ++n) x[n] = coords[2 * n], y[n] = coords[2 * n + 1];
  }
};

// A gradient's features of one level, repeated for every tap.
template <typename T, int P, int F>
struct Gradients {
  T values[kSamples][P * F];
  Gradients(const T* g, int64_t stride, int samples) {
    for (int n = 0; n < samples; ++n)
      UNROLL for (int p = 0; p < P; ++p) __builtin_memcpy(values[n] + p * F, g + n * stride, sizeof(T) * F);
  }
};

template <typename F>
void over_samples(int64_t samples, int threads, F f) {
  const int64_t blocks = (samples + kSamples - 1) / kSamples;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t b = 0; b < blocks; ++b) f(b * kSamples, int(smaller(kSamples, samples - b * kSamples)));
}

template <typename T, int K, int F>
void grid_forward(const GridProblem<T>& p, const T* table, T* y) {
  const int64_t columns = p.num_levels * F;
  over_samples(p.samples, p.threads, [&](int64_t first, int samples) {
    const Points<T> at(p.x + 2 * first, samples);
    for (int64_t l = 0; l < p.num_levels; ++l) {
      const Taps<T, K, F> taps(p, p.levels[l], at.x, at.y, samples);
      T* to = y + first * columns + l * F;
      for (int n = 0; n < samples; ++n) fold<T, taps.WIDTH, F>(taps.sum(table, n), to + n * columns);
    }
  });
}

// Threads share out the levels, never samples: nothing to reduce, and the same sums in the same order whatever
// the number of threads.
template <typename T, int K, int F>
void grid_table(const GridProblem<T>& p, const T* g, T* out) {
  typedef Taps<T, K, F> Level_;
  typedef typename Level_::row row;
  const int64_t columns = p.num_levels * F;
#pragma omp parallel for schedule(dynamic, 1) num_threads(p.threads)
  for (int64_t l = p.num_levels - 1; l >= 0; --l) {  // the finest, which miss the cache most, first
    clear(out + p.levels[l].offset * F, p.levels[l].size * F);
    for (int64_t first = 0; first < p.samples; first += kSamples) {
      const int samples = int(smaller(kSamples, p.samples - first));
      const Points<T> at(p.x + 2 * first, samples);
      const Level_ taps(p, p.levels[l], at.x, at.y, samples);
      const Gradients<T, Level_::P, F> gradients(g + first * columns + l * F, columns, samples);
      for (int n = 0; n < samples; ++n) {
        row gradient;
        __builtin_memcpy(&gradient, gradients.values[n], sizeof(row));
        gradient *= taps.weights(n);
        UNROLL for (int j = 0; j <= K; ++j) {
          const row change = taps.y.weights[j][n] * gradient;
          taps.over_row(
              n, j,
              [&](int64_t entry) {
                row values;
                __builtin_memcpy(&values, out + entry * F, sizeof(row));
                values += change;
                __builtin_memcpy(out + entry * F, &values, sizeof(row));
              },
              [&](int64_t entry, int i) {
                for (int f = 0; f < F; ++f) out[entry * F + f] += change[i * F + f];
              });
        }
      }
    }
  }
}

template <typename T, int K, int F>
void grid_project(const GridProblem<T>& p, const T* table, const T* g, T* out) {
  typedef Taps<T, K, F> Level_;
  typedef typename Level_::row row;
  const int64_t columns = p.num_levels * F;
  over_samples(p.samples, p.threads, [&](int64_t first, int samples) {
    const Points<T> at(p.x + 2 * first, samples);
    clear(out + first, samples);
    for (int64_t l = 0; l < p.num_levels; ++l) {
      const Level_ taps(p, p.levels[l], at.x, at.y, samples);
      const Gradients<T, Level_::P, F> gradients(g + first * columns + l * F, columns, samples);
      for (int n = 0; n < samples; ++n) {
        row gradient;
        __builtin_memcpy(&gradient, gradients.values[n], sizeof(row));
        T total;
        fold<T, Level_::WIDTH, 1>(taps.sum(table, n) * gradient, &total);
        out[first + n] += total;
      }
    }
  });
}

// ---- the tables --------------------------------------------------------------------------------

// Calls f(Constant<order>, Constant<features>) with both as compile-time constants.
template <int V>
struct Constant {
  static constexpr int value = V;
};
template <typename F>
void with_constants(int order, int64_t features, F f) {
  const auto with_order = [&](auto number) {
    if (order == 1) f(Constant<1>{}, number);
    if (order == 2) f(Constant<2>{}, number);
    if (order == 3) f(Constant<3>{}, number);
  };
  if (features == 1) with_order(Constant<1>{});
  if (features == 2) with_order(Constant<2>{});
  if (features == 4) with_order(Constant<4>{});
  if (features == 8) with_order(Constant<8>{});
}

template <typename T>
void any_forward(const GridProblem<T>& p, const T* table, T* y) {
  with_constants(p.order, p.features,
                 [&](auto k, auto f) { grid_forward<T, k.value, f.value>(p, table, y); });
}
template <typename T>
void any_table(const GridProblem<T>& p, const T* g, T* out) {
  with_constants(p.order, p.features, [&](auto k, auto f) { grid_table<T, k.value, f.value>(p, g, out); });
}
template <typename T>
void any_project(const GridProblem<T>& p, const T* table, const T* g, T* out) {
  with_constants(p.order, p.features,
                 [&](auto k, auto f) { grid_project<T, k.value, f.value>(p, table, g, out); });
}

}  // namespace

extern const GridKernels<float> grid32 = {any_forward<float>, any_table<float>, any_project<float>};
extern const GridKernels<double> grid64 = {any_forward<double>, any_table<double>, any_project<double>};

}  // namespace kanfield::KANFIELD_ISA
