// The native kernels on threads that ThreadSanitizer understands: what GCC calls for OpenMP's loops, made of
// std::thread. Every kernel runs on several threads and on one, which must give the same bits. See sanitize.sh.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels.h"

namespace {

struct Team {
  int threads = 1;
  std::atomic<long> next{0};
  long end = 0, step = 1, chunk = 1;
  std::once_flag begun;  // a team runs one loop
};
thread_local Team* team = nullptr;
thread_local int member = 0;

}  // namespace

extern "C" {
int omp_get_num_threads() { return team ? team->threads : 1; }
int omp_get_thread_num() { return member; }
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned) {
  Team shared;
  shared.threads = int(threads);
  std::vector<std::thread> started;
  for (int t = 0; t < shared.threads; ++t)
    started.emplace_back([&, t] {
      team = &shared, member = t;
      body(data);
    });
  for (auto& thread : started) thread.join();
}
bool GOMP_loop_nonmonotonic_dynamic_next(long* start, long* end) {
  const long first = team->next.fetch_add(team->chunk * team->step), last = first + team->chunk * team->step;
  if (team->step > 0 ? first >= team->end : first <= team->end) return false;
  *start = first;
  *end = team->step > 0 ? std::min(last, team->end) : std::max(last, team->end);
  return true;
}
bool GOMP_loop_nonmonotonic_dynamic_start(long from, long to, long step, long chunk, long* start, long* end) {
  std::call_once(team->begun, [&] { team->next = from, team->end = to, team->step = step, team->chunk = chunk; });
  return GOMP_loop_nonmonotonic_dynamic_next(start, end);
}
void GOMP_loop_end_nowait() {}
}

namespace kanfield {
namespace {

template <typename T>
std::vector<T> numbers(int64_t count, unsigned seed) {
  std::vector<T> out(count);
  for (auto& value : out) {
    seed = seed * 1664525u + 1013904223u;
    value = T(int32_t(seed)) / T(1u << 31) * T(1.1);
  }
  return out;
}

int failures = 0;

// f(threads) returns the results on so many threads.
template <typename F>
void compare(const char* name, F f) {
  const auto one = f(1);
  for (int threads : {2, 3, 5})
    if (f(threads) != one) std::printf("%s differs on %d threads\n", name, threads), ++failures;
}

template <typename T>
void splines(const SplineKernels<T>& kernels, int64_t samples, int64_t inputs, int64_t wanted, int64_t grid, int order) {
  const int64_t outputs = kernels.padded(wanted), rows = inputs * (grid + order);
  const auto x = numbers<T>(samples * inputs, 1), coef = numbers<T>(rows * outputs, 2);
  const auto base = numbers<T>(inputs * outputs, 3), g = numbers<T>(samples * outputs, 4);
  const std::vector<T> lower(inputs, T(-1)), scale(inputs, T(grid) / 2);
  const auto problem = [&](int threads) {
    return Problem<T>{x.data(), lower.data(), scale.data(), nullptr, samples, inputs, outputs, grid, order, 0, threads};
  };
  compare("spline_forward", [&](int threads) {
    std::vector<T> y(samples * outputs);
    kernels.spline_forward(problem(threads), coef.data(), base.data(), y.data());
    return y;
  });
  compare("grad_input", [&](int threads) {
    std::vector<T> out(samples * inputs);
    kernels.grad_input(problem(threads), coef.data(), base.data(), g.data(), out.data());
    return out;
  });
  compare("grad_coef", [&](int threads) {
    std::vector<T> out((rows + inputs) * outputs);
    kernels.grad_coef(problem(threads), g.data(), out.data(), out.data() + rows * outputs);
    return out;
  });
}

template <typename T>
void grids(const GridKernels<T>& kernels, int64_t samples, int64_t features, int order) {
  const int64_t cells[] = {3, 16, 100}, sizes[] = {36, 37, 500};
  std::vector<std::vector<int32_t>> rows(3);
  std::vector<Level> levels;
  int64_t entries = 0;
  for (int l = 0; l < 3; ++l) {
    for (int64_t y = 0; y < cells[l] + order; ++y) rows[l].push_back(int32_t(y * (cells[l] + order) % sizes[l]));
    levels.push_back({cells[l], cells[l], sizes[l], entries, rows[l].data()});
    entries += sizes[l];
  }
  const auto x = numbers<T>(samples * 2, 5), table = numbers<T>(entries * features, 6);
  const auto g = numbers<T>(samples * 3 * features, 7);
  const auto problem = [&](int threads) {
    return GridProblem<T>{x.data(), levels.data(), samples, 3, features, order, 0, 0, threads};
  };
  compare("grid_forward", [&](int threads) {
    std::vector<T> y(samples * 3 * features);
    kernels.grid_forward(problem(threads), table.data(), y.data());
    return y;
  });
  compare("grid_table", [&](int threads) {
    std::vector<T> out(entries * features);
    kernels.grid_table(problem(threads), g.data(), out.data());
    return out;
  });
  compare("grid_project", [&](int threads) {
    std::vector<T> out(samples);
    kernels.grid_project(problem(threads), table.data(), g.data(), out.data());
    return out;
  });
}

template <typename T>
void all(const SplineKernels<T>& spline, const GridKernels<T>& grid) {
  for (int order = 1; order <= 3; ++order) {
    for (int64_t samples : {0, 1, 7, 700}) {
      splines(spline, samples, 1, 33, 5, order);
      splines(spline, samples, 3, 70, 20, order);
      splines(spline, samples, 37, 1, 4, order);
      for (int64_t features : {1, 2, 4, 8}) grids(grid, samples, features, order);
    }
  }
}

}  // namespace
}  // namespace kanfield

int main() {
  kanfield::all(kanfield::KANFIELD_ISA::spline32, kanfield::KANFIELD_ISA::grid32);
  kanfield::all(kanfield::KANFIELD_ISA::spline64, kanfield::KANFIELD_ISA::grid64);
  std::puts(kanfield::failures ? "threads change results" : "same bits on 1, 2, 3 and 5 threads");
  return kanfield::failures ? 1 : 0;
}
