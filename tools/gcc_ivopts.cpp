// A loop of grad_coef (kanfield/native/spline_kernels.cpp) from which GCC 12.2 loses every store at -O2:
//
//     g++ -O2 tools/gcc_ivopts.cpp -o case && ./case                                # 0
//     g++ -O2 -fno-ivopts tools/gcc_ivopts.cpp -o case && ./case                    # 128, as it must be
//     g++ -O2 -fsanitize=address,undefined tools/gcc_ivopts.cpp -o case && ./case   # 128, and nothing reported
//
// The pass over induction variables is at fault, so kanfield/native/CMakeLists.txt switches it off for GCC.
#include <cstdio>

typedef double vec __attribute__((vector_size(16)));
constexpr int kTaps = 2, kWidth = 2, kInputs = 4;

struct Block {
  int cells[256][kInputs];
  double values[256][kTaps][kInputs];
};

static vec load(const double* p) {
  vec v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

struct Problem {
  long rows, columns;
};

template <int REGISTERS>
__attribute__((noinline)) void add(const Problem& p, const Block& block, int samples, long input, int begin, int end,
                                   const double* g, double* out) {
  const long columns = p.columns, rows = p.rows;
  for (int n = 0; n < samples; ++n) {
    vec gradient[REGISTERS];
#pragma GCC unroll 16
    for (int v = 0; v < REGISTERS; ++v) gradient[v] = load(g + n * columns + v * kWidth);
    for (int i = begin; i < end; ++i) {
      double* row = out + ((input + i) * rows + block.cells[n][i]) * columns;
#pragma GCC unroll 16
      for (int j = 0; j < kTaps; ++j) {
        const double b = block.values[n][j][i];
#pragma GCC unroll 16
        for (int v = 0; v < REGISTERS; ++v) {
          double* to = row + j * columns + v * kWidth;
          const vec sum = load(to) + b * gradient[v];
          __builtin_memcpy(to, &sum, sizeof(sum));
        }
      }
    }
  }
}

int main() {
  static Block block;
  static double g[4 * 8], out[3 * kInputs * 8];
  for (double& value : g) value = 1;
  for (int n = 0; n < 4; ++n)
    for (int i = 0; i < kInputs; ++i) {
      block.cells[n][i] = n % 2;
      block.values[n][0][i] = 0.25, block.values[n][1][i] = 0.75;
    }
  add<4>({3, 8}, block, 4, 0, 0, kInputs, g, out);
  double sum = 0;
  for (double value : out) sum += value;
  std::printf("%g\n", sum);
  return sum != 128;
}
