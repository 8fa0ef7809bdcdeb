// Compiled once for each instruction set with KANFIELD_ISA (a namespace) and KANFIELD_VECTOR_BYTES.
// No standard templates here: an inline function of theirs compiled for AVX-512 could be the copy
// that the linker keeps for everybody.
#include "simd.h"

namespace kanfield::KANFIELD_ISA {
namespace {

constexpr int kInputs = KANFIELD_VECTOR_BYTES / 4;  // inputs whose basis values are held at a time
constexpr int kGroup = 4;                           // of them, those whose tables share the first-level cache
constexpr int kFold = 4;                            // inputs whose gradients are summed up together
constexpr int kSamples = 256;                       // samples in a block

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

// Adds the sums of the lanes of kFold = 4 registers to out. Folding registers into one another takes half of
// the instructions of four sums by themselves.
template <int WIDTH, typename V, typename T>
inline void add_lane_sums(const V* v, T* out) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define KANFIELD_SHUFFLE __builtin_shufflevector
#endif
#endif
#ifdef KANFIELD_SHUFFLE
  if constexpr (WIDTH == 16) {
    const V a = KANFIELD_SHUFFLE(v[0], v[1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                KANFIELD_SHUFFLE(v[0], v[1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    const V b = KANFIELD_SHUFFLE(v[2], v[3], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                KANFIELD_SHUFFLE(v[2], v[3], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    V c = KANFIELD_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
          KANFIELD_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    c += KANFIELD_SHUFFLE(c, c, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    c += KANFIELD_SHUFFLE(c, c, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    UNROLL for (int i = 0; i < 4; ++i) out[i] += c[4 * i];
    return;
  }
  if constexpr (WIDTH == 8) {
    const V a = KANFIELD_SHUFFLE(v[0], v[1], 0, 1, 2, 3, 8, 9, 10, 11) +
                KANFIELD_SHUFFLE(v[0], v[1], 4, 5, 6, 7, 12, 13, 14, 15);
    const V b = KANFIELD_SHUFFLE(v[2], v[3], 0, 1, 2, 3, 8, 9, 10, 11) +
                KANFIELD_SHUFFLE(v[2], v[3], 4, 5, 6, 7, 12, 13, 14, 15);
    V c = KANFIELD_SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13) + KANFIELD_SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
    c += KANFIELD_SHUFFLE(c, c, 1, 0, 3, 2, 5, 4, 7, 6);
    UNROLL for (int i = 0; i < 4; ++i) out[i] += c[2 * i];
    return;
  }
  if constexpr (WIDTH == 4) {
    const V a = KANFIELD_SHUFFLE(v[0], v[1], 0, 1, 4, 5) + KANFIELD_SHUFFLE(v[0], v[1], 2, 3, 6, 7);
    const V b = KANFIELD_SHUFFLE(v[2], v[3], 0, 1, 4, 5) + KANFIELD_SHUFFLE(v[2], v[3], 2, 3, 6, 7);
    const V c = KANFIELD_SHUFFLE(a, b, 0, 2, 4, 6) + KANFIELD_SHUFFLE(a, b, 1, 3, 5, 7);
    UNROLL for (int i = 0; i < 4; ++i) out[i] += c[i];
    return;
  }
#endif
  UNROLL for (int i = 0; i < 4; ++i) out[i] += lane_sum<WIDTH>(v + i);
}

// ---- basis -------------------------------------------------------------------------------------

// The K+1 B-splines that do not vanish on a cell, or their derivative V, at t in [0, 1] of that cell: linear,
// quadratic and cubic ones in closed form, others by the recursion of Cox and de Boor from the degree below,
// whose differences are their slopes. The term 0 * t keeps a NaN a NaN where the derivative is constant.
template <int K, int V, typename vec>
inline void polynomials(vec t, vec* b) {
  typedef __typeof__(t[0] + t[0]) T;
  const vec r = 1 - t;
  if constexpr (K == 0) {
    b[0] = 0 * t + 1;
  } else if constexpr (V > 0) {
    polynomials<K - 1, V - 1>(t, b);
    b[K] = b[K - 1];
    UNROLL for (int j = K - 1; j > 0; --j) b[j] = b[j - 1] - b[j];
    b[0] = -b[0];
  } else if constexpr (K == 1) {
    b[0] = r, b[1] = t;
  } else if constexpr (K == 2) {
    b[0] = T(0.5) * r * r, b[1] = T(0.5) + t * r, b[2] = T(0.5) * t * t;
  } else if constexpr (K == 3) {
    const T sixth = T(1) / 6;
    b[0] = r * r * r * sixth;
    b[1] = T(2) / 3 + t * t * (T(0.5) * t - 1);
    b[2] = T(2) / 3 + r * r * (T(0.5) * r - 1);
    b[3] = t * t * t * sixth;
  } else {
    polynomials<K - 1, 0>(t, b);
    const T share = T(1) / K;
    b[K] = share * t * b[K - 1];
    UNROLL for (int j = K - 1; j > 0; --j) b[j] = share * ((t + T(K - j)) * b[j - 1] + (r + T(j)) * b[j]);
    b[0] *= share * r;
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

// e^x, its argument clamped to where neither overflows: x = n ln 2 + r with |r| <= ln 2 / 2, then a Taylor
// series in r. ln 2 is subtracted in two parts, so that n * high is exact. The parts are those of Cephes'
// expf.c (C1, C2) in single precision and of fdlibm's e_exp.c (ln2HI, ln2LO) in double.
template <typename T>
inline typename Simd<T>::vec exponential(typename Simd<T>::vec x) {
  typedef typename Simd<T>::vec vec;
  typedef typename Simd<T>::index index;
  constexpr bool single = sizeof(T) == 4;
  constexpr int terms = single ? 7 : 13, mantissa = single ? 23 : 52, bias = single ? 127 : 1023;
  constexpr T most = single ? T(87) : T(708);
  constexpr T high = single ? T(0.693359375) : T(6.93147180369123816490e-01);
  constexpr T low = single ? T(-2.12194440e-4) : T(1.90821492927058770002e-10);
  const vec zero = {};
  x = x < zero + most ? x : zero + most;
  x = x > zero - most ? x : zero - most;
  const vec scaled = x * T(1.44269504088896340736) + T(0.5);
  index whole = __builtin_convertvector(scaled, index);
  vec power = __builtin_convertvector(whole, vec);
  const auto above = power > scaled;  // truncation rounds negative numbers up
  whole += above;                     // true is -1
  power = above ? power - 1 : power;
  const vec r = (x - power * high) - power * low;
  vec sum = zero + 1;
  UNROLL for (int n = terms; n >= 1; --n) sum = 1 + r * (T(1) / n) * sum;
  const index bits = (whole + bias) << mantissa;
  vec factor;
  __builtin_memcpy(&factor, &bits, sizeof(factor));
  return sum * factor;
}

// silu(x) = x / (1 + e^-x), or its derivative.
template <int V, typename T>
inline typename Simd<T>::vec silu(typename Simd<T>::vec x) {
  constexpr T least = sizeof(T) == 4 ? T(-87) : T(-708);  // further down both are zero
  const typename Simd<T>::vec zero = {};
  x = x < zero + least ? zero + least : x;  // a NaN stays
  const typename Simd<T>::vec sigmoid = 1 / (1 + exponential<T>(-x));
  if constexpr (V == 0) return x * sigmoid;
  else return sigmoid * (1 + x * (1 - sigmoid));
}

template <int V>
struct Constant {
  static constexpr int value = V;
};

// Calls f with a number from 0 to MOST as a compile-time constant.
template <int MOST, typename F>
void with_constant(int number, F f) {
  if (number == MOST) f(Constant<MOST>{});
  if constexpr (MOST > 0) {
    if (number < MOST) with_constant<MOST - 1>(number, f);
  }
}

// A block of samples and kInputs inputs: the cells and basis values of each sample lie together.
template <typename T, int K>
struct Block {
  static constexpr int W = Simd<T>::width;
  int32_t cells[kSamples][kInputs];
  T values[kSamples][K + 2][kInputs];  // the last is the smooth branch's

  void fill(const Problem<T>& p, int64_t first, int samples, int64_t input, int inputs, bool branch) {
    with_constant<K>(p.derivative, [&](auto derivative) {
      fill_derivative<derivative.value>(p, first, samples, input, inputs, branch);
    });
  }

  template <int V>
  void fill_derivative(const Problem<T>& p, int64_t first, int samples, int64_t input, int inputs,
                       bool branch) {
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
        store(&cells[n][i], __builtin_convertvector(located.cell, typename Simd<T>::cells));
        UNROLL for (int j = 0; j <= K; ++j) store(&values[n][j][i], b[j]);
        if constexpr (V <= 1) {
          if (branch) store(&values[n][K + 1][i], silu<V, T>(load(xs + i)));
        }
      }
    }
  }
};

// Calls f(begin, end, first column, Constant<bytes of a register>, Constant<registers>) for every group of
// inputs and every tile of columns: 8, 4, 2 and 1 of the widest registers, then narrower ones for what is left.
template <typename T, typename F>
void over_tiles(int inputs, int64_t columns, F f) {
  constexpr int BYTES = KANFIELD_VECTOR_BYTES, W = BYTES / sizeof(T);
  const int group = columns < W ? kInputs : kGroup;  // narrow tables are small
  for (int begin = 0; begin < inputs; begin += group) {
    const int end = int(smaller(begin + group, inputs));
    int64_t c = 0;
    for (; columns - c >= 8 * W; c += 8 * W) f(begin, end, c, Constant<BYTES>{}, Constant<8>{});
    if (columns - c >= 4 * W) f(begin, end, c, Constant<BYTES>{}, Constant<4>{}), c += 4 * W;
    if (columns - c >= 2 * W) f(begin, end, c, Constant<BYTES>{}, Constant<2>{}), c += 2 * W;
    if (columns - c >= W) f(begin, end, c, Constant<BYTES>{}, Constant<1>{}), c += W;
    if constexpr (BYTES > 32) {
      if (columns - c >= W / 2) f(begin, end, c, Constant<32>{}, Constant<1>{}), c += W / 2;
    }
    if constexpr (BYTES > 16) {
      if (columns - c > 0) f(begin, end, c, Constant<16>{}, Constant<1>{});
    }
  }
}

// Few columns are padded to the narrowest register that holds them, many to whole registers of the widest:
// rows that are no multiple of those lie across the cache's lines, which costs more than the padding.
template <typename T>
int64_t padded(int64_t outputs) {
  int64_t width = KANFIELD_VECTOR_BYTES / sizeof(T);
  while (outputs <= width / 2 && width * sizeof(T) > 16) width /= 2;
  return (outputs + width - 1) / width * width;
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

// ---- spline_forward ----------------------------------------------------------------------------

template <int K, int BYTES, int TILE, typename T>
void forward_tile(const Problem<T>& p, const Block<T, K>& block, int samples, int64_t input, int begin,
                  int end, const T* coef, const T* base, T* y) {
  constexpr int W = Simd<T, BYTES>::width;
  const int64_t O = p.outputs, rows = p.grid + K;
  for (int n = 0; n < samples; ++n) {
    // Narrow tiles keep one sum for each tap: a single chain of additions would wait for itself.
    constexpr int CHAINS = TILE >= 4 ? 1 : K + 2;
    typename Simd<T, BYTES>::vec sum[CHAINS][TILE] = {};
    for (int i = begin; i < end; ++i) {
      const T* row = coef + ((input + i) * rows + block.cells[n][i]) * O;
      UNROLL for (int j = 0; j <= K; ++j) {
        const T b = block.values[n][j][i];
        UNROLL for (int v = 0; v < TILE; ++v) sum[j % CHAINS][v] += b * load<BYTES>(row + j * O + v * W);
      }
      if (base) {
        const T b = block.values[n][K + 1][i];
        const T* smooth = base + (input + i) * O;
        UNROLL for (int v = 0; v < TILE; ++v) sum[CHAINS - 1][v] += b * load<BYTES>(smooth + v * W);
      }
    }
    UNROLL for (int c = 1; c < CHAINS; ++c) UNROLL for (int v = 0; v < TILE; ++v) sum[0][v] += sum[c][v];
    UNROLL for (int v = 0; v < TILE; ++v) store(y + n * O + v * W, load<BYTES>(y + n * O + v * W) + sum[0][v]);
  }
}

template <int K, typename T>
void spline_forward(const Problem<T>& p, const T* coef, const T* base, T* y) {
  over_blocks(p.samples, p.threads, [&](int64_t first, int samples) {
    Block<T, K> block;
    T* rows = y + first * p.outputs;
    clear(rows, samples * p.outputs);
    for (int64_t i = 0; i < p.inputs; i += kInputs) {
      const int inputs = int(smaller(kInputs, p.inputs - i));
      block.fill(p, first, samples, i, inputs, base != nullptr);
      over_tiles<T>(inputs, p.outputs, [&](int begin, int end, int64_t c, auto bytes, auto tile) {
        forward_tile<K, bytes.value, tile.value>(p, block, samples, i, begin, end, coef + c,
                                                 base ? base + c : nullptr, rows + c);
      });
    }
  });
}

// ---- grad_input --------------------------------------------------------------------------------

template <int K, int BYTES, int TILE, typename T>
void grad_input_tile(const Problem<T>& p, const Block<T, K>& block, int samples, int64_t input, int begin,
                     int end, const T* coef, const T* base, const T* g, T* out) {
  typedef typename Simd<T, BYTES>::vec vec;
  constexpr int W = Simd<T, BYTES>::width;
  const int64_t O = p.outputs, rows = p.grid + K;
  for (int n = 0; n < samples; ++n) {
    vec gradient[TILE];
    UNROLL for (int v = 0; v < TILE; ++v) gradient[v] = load<BYTES>(g + n * O + v * W);
    const auto dot = [&](const T* row) {
      vec sum = load<BYTES>(row) * gradient[0];
      UNROLL for (int v = 1; v < TILE; ++v) sum += load<BYTES>(row + v * W) * gradient[v];
      return sum;
    };
    const auto lanes = [&](int i) {
      const T* row = coef + ((input + i) * rows + block.cells[n][i]) * O;
      vec total = {};
      UNROLL for (int j = 0; j <= K; ++j) total += block.values[n][j][i] * dot(row + j * O);
      if (base) total += block.values[n][K + 1][i] * dot(base + (input + i) * O);
      return total;
    };
    T* to = out + n * p.inputs;
    int i = begin;
    for (; i + kFold <= end; i += kFold) {
      vec totals[kFold];
      UNROLL for (int m = 0; m < kFold; ++m) totals[m] = lanes(i + m);
      add_lane_sums<W>(totals, to + i);
    }
    for (; i < end; ++i) {
      const vec total = lanes(i);
      to[i] += lane_sum<W>(&total);
    }
  }
}

template <int K, typename T>
void grad_input(const Problem<T>& p, const T* coef, const T* base, const T* g, T* out) {
  over_blocks(p.samples, p.threads, [&](int64_t first, int samples) {
    Block<T, K> block;
    T* rows = out + first * p.inputs;
    clear(rows, samples * p.inputs);
    for (int64_t i = 0; i < p.inputs; i += kInputs) {
      const int inputs = int(smaller(kInputs, p.inputs - i));
      block.fill(p, first, samples, i, inputs, base != nullptr);
      over_tiles<T>(inputs, p.outputs, [&](int begin, int end, int64_t c, auto bytes, auto tile) {
        grad_input_tile<K, bytes.value, tile.value>(p, block, samples, i, begin, end, coef + c,
                                                    base ? base + c : nullptr, g + first * p.outputs + c,
                                                    rows + i);
      });
    }
  });
}

// ---- grad_coef ---------------------------------------------------------------------------------

template <int K, int BYTES, int TILE, typename T>
void grad_coef_tile(const Problem<T>& p, const Block<T, K>& block, int samples, int64_t input, int begin,
                    int end, const T* g, T* out) {
  typedef typename Simd<T, BYTES>::vec vec;
  constexpr int W = Simd<T, BYTES>::width;
  const int64_t O = p.outputs, rows = p.grid + K;
  for (int n = 0; n < samples; ++n) {
    vec gradient[TILE];
    UNROLL for (int v = 0; v < TILE; ++v) gradient[v] = load<BYTES>(g + n * O + v * W);
    for (int i = begin; i < end; ++i) {
      T* row = out + ((input + i) * rows + block.cells[n][i]) * O;
      UNROLL for (int j = 0; j <= K; ++j) {
        const T b = block.values[n][j][i];
        UNROLL for (int v = 0; v < TILE; ++v) {
          T* to = row + j * O + v * W;
          store(to, load<BYTES>(to) + b * gradient[v]);
        }
      }
    }
  }
}

// The smooth branch's part: every sample adds to the same row, so the sums stay in registers.
template <int K, int BYTES, int TILE, typename T>
void grad_branch_tile(const Problem<T>& p, const Block<T, K>& block, int samples, int64_t input, int begin,
                      int end, const T* g, T* base) {
  constexpr int W = Simd<T, BYTES>::width, PAIR = 2;
  const int64_t O = p.outputs;
  for (int i = begin; i < end; i += PAIR) {
    const int second = i + 1 < end ? i + 1 : i;
    typename Simd<T, BYTES>::vec sum[PAIR][TILE] = {};
    for (int n = 0; n < samples; ++n) {
      const T b[PAIR] = {block.values[n][K + 1][i], block.values[n][K + 1][second]};
      UNROLL for (int v = 0; v < TILE; ++v) {
        const auto gradient = load<BYTES>(g + n * O + v * W);
        UNROLL for (int m = 0; m < PAIR; ++m) sum[m][v] += b[m] * gradient;
      }
    }
    for (int m = 0; m <= second - i; ++m)
      UNROLL for (int v = 0; v < TILE; ++v) {
        T* to = base + (input + i + m) * O + v * W;
        store(to, load<BYTES>(to) + sum[m][v]);
      }
  }
}

// Threads share out inputs (and columns, when there are fewer groups of inputs than threads), never
// samples: nothing to reduce, and the same sums in the same order whatever the number of threads.
template <int K, typename T>
void grad_coef(const Problem<T>& p, const T* g, T* out, T* base) {
  constexpr int W = Simd<T>::width;
  const int64_t groups = (p.inputs + kInputs - 1) / kInputs, registers = (p.outputs + W - 1) / W;
  const int64_t rows = p.grid + K;
  const int64_t parts = smaller(registers, (p.threads + groups - 1) / groups);
#pragma omp parallel for schedule(static) num_threads(p.threads)
  for (int64_t task = 0; task < groups * parts; ++task) {
    const int64_t input = task / parts * kInputs, part = task % parts;
    const int64_t from = registers * part / parts * W;
    const int64_t to = smaller(registers * (part + 1) / parts * W, p.outputs);
    const int inputs = int(smaller(kInputs, p.inputs - input));
    Block<T, K> block;
    for (int64_t row = input * rows; row < (input + inputs) * rows; ++row)
      clear(out + row * p.outputs + from, to - from);
    for (int64_t row = input; base && row < input + inputs; ++row)
      clear(base + row * p.outputs + from, to - from);
    for (int64_t first = 0; first < p.samples; first += kSamples) {
      const int samples = int(smaller(kSamples, p.samples - first));
      block.fill(p, first, samples, input, inputs, base != nullptr);
      over_tiles<T>(inputs, to - from, [&](int begin, int end, int64_t c, auto bytes, auto tile) {
        const T* gradient = g + first * p.outputs + from + c;
        grad_coef_tile<K, bytes.value, tile.value>(p, block, samples, input, begin, end, gradient,
                                                   out + from + c);
        if (base)
          grad_branch_tile<K, bytes.value, tile.value>(p, block, samples, input, begin, end, gradient,
                                                       base + from + c);
      });
    }
  }
}

// ---- the tables --------------------------------------------------------------------------------

// Calls f with the order as a compile-time constant.
template <typename F>
void with_order(int order, F f) {
  with_constant<kMostOrder - 1>(order - 1, [&](auto below) { f(Constant<below.value + 1>{}); });
}

template <typename T>
void any_spline_forward(const Problem<T>& p, const T* coef, const T* base, T* y) {
  with_order(p.order, [&](auto order) { spline_forward<order.value>(p, coef, base, y); });
}
template <typename T>
void any_grad_coef(const Problem<T>& p, const T* g, T* out, T* base) {
  with_order(p.order, [&](auto order) { grad_coef<order.value>(p, g, out, base); });
}
template <typename T>
void any_grad_input(const Problem<T>& p, const T* coef, const T* base, const T* g, T* out) {
  with_order(p.order, [&](auto order) { grad_input<order.value>(p, coef, base, g, out); });
}

}  // namespace

extern const SplineKernels<float> spline32 = {padded<float>, any_spline_forward<float>,
                                              any_grad_coef<float>, any_grad_input<float>};
extern const SplineKernels<double> spline64 = {padded<double>, any_spline_forward<double>,
                                               any_grad_coef<double>, any_grad_input<double>};

}  // namespace kanfield::KANFIELD_ISA
