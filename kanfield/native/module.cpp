// The Python module kanfield._native: the kernels on CPU arrays, for the best instruction set of this processor.
#include "module.h"

#include <cstdlib>
#include <string>

namespace kanfield {
namespace {

#define KANFIELD_SET(ISA) \
  InstructionSet { #ISA, &ISA::spline32, &ISA::spline64, &ISA::grid32, &ISA::grid64 }

// KANFIELD_ISA=baseline or avx2 asks for less than the processor can do, so that tests reach every copy.
InstructionSet choose() {
  const char* wanted = std::getenv("KANFIELD_ISA");
  const std::string limit = wanted ? wanted : "";
  const bool known = limit.empty() || limit == "baseline" || limit == "avx2" || limit == "avx512";
  if (!known) throw std::runtime_error("KANFIELD_ISA is '" + limit + "': use avx512, avx2 or baseline");
#ifdef KANFIELD_X86
  const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool wide = fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (wide && (limit.empty() || limit == "avx512")) return KANFIELD_SET(avx512);
  if (fma && limit != "baseline") return KANFIELD_SET(avx2);
#endif
  return KANFIELD_SET(baseline);
}

}  // namespace

const InstructionSet& instruction_set() {
  static const InstructionSet chosen = choose();
  return chosen;
}

}  // namespace kanfield

NB_MODULE(_native, m) {
  m.doc() = "Spline and grid primitives on CPU arrays; results go into the array that is passed in.";
  kanfield::add_splines(m);
  kanfield::add_grids(m);
  m.def("instruction_set", [] { return kanfield::instruction_set().name; },
        "The instruction set whose kernels are in use: avx512, avx2 or baseline.");
  m.attr("openmp") = KANFIELD_OPENMP;
}
