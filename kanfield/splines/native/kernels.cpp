// Compiled once for each instruction set with KANFIELD_ISA (a namespace) and KANFIELD_VECTOR_BYTES.
// No standard templates here: an inline function of theirs compiled for AVX-512 could be the copy
// that the linker keeps for everybody.
#include "kernels.h"

#include <cstddef>

namespace kanfield::KANFIELD_ISA {
namespace {

// Loops over taps and registers of a tile must unroll, or their sums would live in memory.
#define UNROLL _Pragma("GCC unroll 16")

// A register of numbers, and a register of integers of the same size.
template <typename T>
struct Simd;
template <>
struct Simd<float> {
  typedef float vec __attribute__((vector_size(KANFIELD_VECTOR_BYTES)));
  typedef int32_t index __attribute__((vector_size(KANFIELD_VECTOR_BYTES)));
  static constexpr int width = KANFIELD_VECTOR_BYTES / sizeof(float);
};
template <>
struct Simd<double> {
  typedef double vec __attribute__((vector_size(KANFIELD_VECTOR_BYTES)));
  typedef int64_t index __attribute__((vector_size(KANFIELD_VECTOR_BYTES)));
  static constexpr int width = KANFIELD_VECTOR_BYTES / sizeof(double);
};

// memcpy compiles to one unaligned move and says nothing false about types or alignment.
template <typename T>
inline typename Simd<T>::vec load(const T* p) {
  typename Simd<T>::vec v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
template <typename T>
inline void store(T* p, typename Simd<T>::vec v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

constexpr int kInputs = KANFIELD_VECTOR_BYTES / 4;  // inputs whose basis values are held at a time
constexpr int kGroup = 4;                           // of them, those whose tables share the first-level cache
constexpr int kSamples = 256;                       // samples in a block

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Results are zeroed block by block, by the thread that is about to add to them.
template <typename T>
void clear(T* p, int64_t count) {
  __builtin_memset(p, 0, size_t(count) * sizeof(T));
}

// Sum of the lanes by halves: few instructions, and one order on every compiler.
template <int WIDTH, typename V>
auto lane_sum(const V* v) {
  typedef __typeof__((*v)[0] + (*v)[0]) T;
  if constexpr (WIDTH == 1) {
    return T((*v)[0]);
  } else {
    typedef T half __attribute__((vector_size(sizeof(T) * WIDTH / 2)));
    half low, high;
    __builtin_memcpy(&low, v, sizeof(half));
    __builtin_memcpy(&high, reinterpret_cast<const char*>(v) + sizeof(half), sizeof(half));
    low += high;
    return lane_sum<WIDTH / 2>(&low);
  }
}


// ---- basis -------------------------------------------------------------------------------------

// The K+1 B-splines that do not vanish on a cell, or their derivative V, at t in [0, 1] of that cell.
// The term 0 * t keeps a NaN a NaN where the derivative is constant.
template <int K, int V, typename vec>
inline void polynomials(vec t, vec* b) {
  typedef __typeof__(t[0] + t[0]) T;
  const vec r = 1 - t;
  if constexpr (K == 1) {
    if constexpr (V == 0) b[0] = r, b[1] = t;
    if constexpr (V == 1) b[0] = 0 * t - 1, b[1] = 0 * t + 1;
  } else if constexpr (K == 2) {
    if constexpr (V == 0) b[0] = T(0.5) * r * r, b[1] = T(0.5) + t * r, b[2] = T(0.5) * t * t;
    if constexpr (V == 1) b[0] = -r, b[1] = r - t, b[2] = t;
    if constexpr (V == 2) b[0] = 0 * t + 1, b[1] = 0 * t - 2, b[2] = 0 * t + 1;
  } else {
    if constexpr (V == 0) {
      const T sixth = T(1) / 6;
      b[0] = r * r * r * sixth;
      b[1] = T(2) / 3 + t * t * (T(0.5) * t - 1);
      b[2] = T(2) / 3 + r * r * (T(0.5) * r - 1);
      b[3] = t * t * t * sixth;
    }
    if constexpr (V == 1) {
      b[0] = T(-0.5) * r * r;
      b[1] = t * (T(1.5) * t - 2);
      b[2] = r * (2 - T(1.5) * r);
      b[3] = T(0.5) * t * t;
    }
    if constexpr (V == 2) b[0] = r, b[1] = 3 * t - 2, b[2] = 3 * r - 2, b[3] = t;
    if constexpr (V == 3) b[0] = 0 * t - 1, b[1] = 0 * t + 3, b[2] = 0 * t - 3, b[3] = 0 * t + 1;
  }
}

// One register of numbers: their cells, and the local coordinates that the basis needs.
template <typename T>
struct Located {
  typedef typename Simd<T>::vec vec;
  vec cell, beyond, border;  // beyond: how far outside the grid, in cells; border: t clamped to the cell
  decltype(vec{} < vec{}) outside;

  Located(vec x, vec lower, vec scale, T grid) {
    const vec zero = {}, one = zero + 1, last = zero + (grid - 1);
    const vec u = (x - lower) * scale;  // as basis.py: a difference, then a product, nothing to fuse
    vec inside = u > zero ? u : zero;   // a NaN goes to cell 0
    inside = inside < last ? inside : last;
    cell = __builtin_convertvector(__builtin_convertvector(inside, typename Simd<T>::index), vec);
    const vec t = u - cell;
    border = u < zero ? zero : u > zero + grid ? one : t;
    outside = (u < zero) | (u > zero + grid);
    beyond = t - border;
  }
};

// The basis values, or their derivative V in x, times `factor`.
template <int K, int V, typename T>
inline void basis(const Located<T>& at, typename Simd<T>::vec scale, typename Simd<T>::vec factor,
                  typename Simd<T>::vec* b) {
  typedef typename Simd<T>::vec vec;
  polynomials<K, V>(at.border, b);
  if constexpr (V == 0) {
    vec slope[K + 1];
    polynomials<K, 1>(at.border, slope);
    UNROLL for (int j = 0; j <= K; ++j) b[j] += at.beyond * slope[j];
  }
  UNROLL for (int v = 0; v < V; ++v) factor *= scale;
  if constexpr (V >= 2) factor = at.outside ? vec{} : factor;
  UNROLL for (int j = 0; j <= K; ++j) b[j] *= factor;
}

// A block of samples and kInputs inputs: the cells and basis values of each sample lie together.
template <typename T, int K>
struct Block {
  static constexpr int W = Simd<T>::width;
  int32_t cells[kSamples][kInputs];
  T values[kSamples][K + 1][kInputs];

  template <int V>
  void fill(const Problem<T>& p, int64_t first, int samples, int64_t input, int inputs) {
    T lower[kInputs], scale[kInputs], x[kInputs] = {}, weight[kInputs] = {};
    for (int i = 0; i < kInputs; ++i) {
      lower[i] = i < inputs ? p.lower[input + i] : T(0);
      scale[i] = i < inputs ? p.scale[input + i] : T(1);
      weight[i] = T(1);
    }
    for (int n = 0; n < samples; ++n) {
      const int64_t offset = (first + n) * p.inputs + input;
      const T *xs = p.x + offset, *ws = p.weight ? p.weight + offset : weight;
      if (inputs < kInputs) {  // a register must not read past the row
        for (int i = 0; i < inputs; ++i) x[i] = xs[i], weight[i] = ws[i];
        xs = x, ws = weight;
      }
      for (int i = 0; i < kInputs; i += W) {
        const Located<T> located(load(xs + i), load(lower + i), load(scale + i), T(p.grid));
        typename Simd<T>::vec b[K + 1];
        basis<K, V>(located, load(scale + i), load(ws + i), b);
        UNROLL for (int m = 0; m < W; ++m) cells[n][i + m] = int32_t(located.cell[m]);
        UNROLL for (int j = 0; j <= K; ++j) store(&values[n][j][i], b[j]);
      }
    }
  }
};

// Calls f with the derivative order as a compile-time constant, which is at most K.
template <int V>
struct Constant {
  static constexpr int value = V;
};
template <int K, typename F>
void with_derivative(int derivative, F f) {
  if (derivative == 0) f(Constant<0>{});
  if (derivative == 1) f(Constant<1>{});
  if constexpr (K >= 2) {
    if (derivative == 2) f(Constant<2>{});
  }
  if constexpr (K >= 3) {
    if (derivative == 3) f(Constant<3>{});
  }
}

// Calls f(begin, end, first register, Constant<registers>) for every group of inputs and every tile of
// 8, 4, 2 and 1 registers.
template <typename F>
void over_tiles(int inputs, int64_t registers, F f) {
  for (int begin = 0; begin < inputs; begin += kGroup) {
    const int end = int(smaller(begin + kGroup, inputs));
    for (int64_t tile = 0; tile < registers / 8; ++tile) f(begin, end, 8 * tile, Constant<8>{});
    int64_t r = registers / 8 * 8;
    if (registers & 4) f(begin, end, r, Constant<4>{}), r += 4;
    if (registers & 2) f(begin, end, r, Constant<2>{}), r += 2;
    if (registers & 1) f(begin, end, r, Constant<1>{});
  }
}

// Splits the samples into blocks over the threads: f(first sample, samples).
template <typename F>
void over_blocks(int64_t samples, int threads, F f) {
  int64_t size = (samples + threads - 1) / threads;
  size = smaller(size, kSamples);
  const int64_t blocks = size ? (samples + size - 1) / size : 0;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t b = 0; b < blocks; ++b) f(b * size, int(smaller(size, samples - b * size)));
}

// ---- synthesis ---------------------------------------------------------------------------------

template <int K, int TILE, typename T>
void synthesize_tile(const Problem<T>& p, const Block<T, K>& block, int samples, int64_t input, int begin,
                     int end, const T* coef, T* y) {
  constexpr int W = Simd<T>::width;
  const int64_t O = p.outputs, rows = p.grid + K;
  for (int n = 0; n < samples; ++n) {
    // Narrow tiles keep one sum for each tap: a single chain of additions would wait for itself.
    constexpr int CHAINS = TILE >= 4 ? 1 : K + 1;
    typename Simd<T>::vec sum[CHAINS][TILE] = {};
    for (int i = begin; i < end; ++i) {
      const T* row = coef + ((input + i) * rows + block.cells[n][i]) * O;
      UNROLL for (int j = 0; j <= K; ++j) {
        const T b = block.values[n][j][i];
        UNROLL for (int v = 0; v < TILE; ++v) sum[j % CHAINS][v] += b * load(row + j * O + v * W);
      }
    }
    UNROLL for (int c = 0; c < CHAINS; ++c)
      UNROLL for (int v = 0; v < TILE; ++v) store(y + n * O + v * W, load(y + n * O + v * W) + sum[c][v]);
  }
}

template <int K, typename T>
void synthesis(const Problem<T>& p, const T* coef, T* y) {
  constexpr int W = Simd<T>::width;
  with_derivative<K>(p.derivative, [&](auto derivative) {
    over_blocks(p.samples, p.threads, [&](int64_t first, int samples) {
      Block<T, K> block;
      clear(y + first * p.outputs, samples * p.outputs);
      for (int64_t i = 0; i < p.inputs; i += kInputs) {
        const int inputs = int(smaller(kInputs, p.inputs - i));
        block.template fill<derivative.value>(p, first, samples, i, inputs);
        over_tiles(inputs, p.outputs / W, [&](int begin, int end, int64_t r, auto tile) {
          synthesize_tile<K, tile.value>(p, block, samples, i, begin, end, coef + r * W,
                                         y + first * p.outputs + r * W);
        });
      }
    });
  });
}

// ---- projection --------------------------------------------------------------------------------

template <int K, int TILE, typename T>
void project_tile(const Problem<T>& p, const Block<T, K>& block, int samples, int64_t input, int begin,
                  int end, const T* coef, const T* g, T* out) {
  constexpr int W = Simd<T>::width;
  const int64_t O = p.outputs, rows = p.grid + K;
  for (int n = 0; n < samples; ++n) {
    typename Simd<T>::vec gradient[TILE];
    UNROLL for (int v = 0; v < TILE; ++v) gradient[v] = load(g + n * O + v * W);
    for (int i = begin; i < end; ++i) {
      const T* row = coef + ((input + i) * rows + block.cells[n][i]) * O;
      typename Simd<T>::vec total = {};
      UNROLL for (int j = 0; j <= K; ++j) {
        typename Simd<T>::vec dot = load(row + j * O) * gradient[0];
        UNROLL for (int v = 1; v < TILE; ++v) dot += load(row + j * O + v * W) * gradient[v];
        total += block.values[n][j][i] * dot;
      }
      out[n * p.inputs + i] += lane_sum<W>(&total);
    }
  }
}

template <int K, typename T>
void projection(const Problem<T>& p, const T* coef, const T* g, T* out) {
  constexpr int W = Simd<T>::width;
  with_derivative<K>(p.derivative, [&](auto derivative) {
    over_blocks(p.samples, p.threads, [&](int64_t first, int samples) {
      Block<T, K> block;
      clear(out + first * p.inputs, samples * p.inputs);
      for (int64_t i = 0; i < p.inputs; i += kInputs) {
        const int inputs = int(smaller(kInputs, p.inputs - i));
        block.template fill<derivative.value>(p, first, samples, i, inputs);
        over_tiles(inputs, p.outputs / W, [&](int begin, int end, int64_t r, auto tile) {
          project_tile<K, tile.value>(p, block, samples, i, begin, end, coef + r * W,
                                      g + first * p.outputs + r * W, out + first * p.inputs + i);
        });
      }
    });
  });
}

// ---- analysis ----------------------------------------------------------------------------------

template <int K, int TILE, typename T>
void analyze_tile(const Problem<T>& p, const Block<T, K>& block, int samples, int64_t input, int begin,
                  int end, const T* g, T* out) {
  constexpr int W = Simd<T>::width;
  const int64_t O = p.outputs, rows = p.grid + K;
  for (int n = 0; n < samples; ++n) {
    typename Simd<T>::vec gradient[TILE];
    UNROLL for (int v = 0; v < TILE; ++v) gradient[v] = load(g + n * O + v * W);
    for (int i = begin; i < end; ++i) {
      T* row = out + ((input + i) * rows + block.cells[n][i]) * O;
      UNROLL for (int j = 0; j <= K; ++j) {
        const T b = block.values[n][j][i];
        UNROLL for (int v = 0; v < TILE; ++v) store(row + j * O + v * W, load(row + j * O + v * W) + b * gradient[v]);
      }
    }
  }
}

// Threads share out inputs (and columns, when there are fewer groups of inputs than threads), never
// samples: nothing to reduce, and the same sums in the same order whatever the number of threads.
template <int K, typename T>
void analysis(const Problem<T>& p, const T* g, T* out) {
  constexpr int W = Simd<T>::width;
  const int64_t groups = (p.inputs + kInputs - 1) / kInputs, registers = p.outputs / W;
  const int64_t rows = p.grid + K;
  const int64_t parts = smaller(registers, (p.threads + groups - 1) / groups);
  with_derivative<K>(p.derivative, [&](auto derivative) {
#pragma omp parallel for schedule(static) num_threads(p.threads)
    for (int64_t task = 0; task < groups * parts; ++task) {
      const int64_t input = task / parts * kInputs, part = task % parts;
      const int64_t from = registers * part / parts, to = registers * (part + 1) / parts;
      const int inputs = int(smaller(kInputs, p.inputs - input));
      Block<T, K> block;
      for (int64_t row = input * rows; row < (input + inputs) * rows; ++row)
        clear(out + row * p.outputs + from * W, (to - from) * W);
      for (int64_t first = 0; first < p.samples; first += kSamples) {
        const int samples = int(smaller(kSamples, p.samples - first));
        block.template fill<derivative.value>(p, first, samples, input, inputs);
        over_tiles(inputs, to - from, [&](int begin, int end, int64_t r, auto tile) {
          const int64_t column = (from + r) * W;
          analyze_tile<K, tile.value>(p, block, samples, input, begin, end,
                                      g + first * p.outputs + column, out + column);
        });
      }
    }
  });
}

// ---- the tables --------------------------------------------------------------------------------

template <typename T>
void any_synthesis(const Problem<T>& p, const T* coef, T* y) {
  (p.order == 1 ? synthesis<1, T> : p.order == 2 ? synthesis<2, T> : synthesis<3, T>)(p, coef, y);
}
template <typename T>
void any_analysis(const Problem<T>& p, const T* g, T* out) {
  (p.order == 1 ? analysis<1, T> : p.order == 2 ? analysis<2, T> : analysis<3, T>)(p, g, out);
}
template <typename T>
void any_projection(const Problem<T>& p, const T* coef, const T* g, T* out) {
  (p.order == 1 ? projection<1, T> : p.order == 2 ? projection<2, T> : projection<3, T>)(p, coef, g, out);
}

}  // namespace

extern const Kernels<float> f32 = {Simd<float>::width, any_synthesis<float>, any_analysis<float>,
                                   any_projection<float>};
extern const Kernels<double> f64 = {Simd<double>::width, any_synthesis<double>,
                                    any_analysis<double>, any_projection<double>};

}  // namespace kanfield::KANFIELD_ISA
