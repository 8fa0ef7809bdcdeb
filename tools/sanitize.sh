#!/usr/bin/env bash
# The native core under the sanitizers of GCC: addresses and undefined behaviour through the operators' own tests, then
# its threads alone. Run from the root of the repository, with the Python of the tests first on the PATH:
#
#     tools/sanitize.sh [FOLDER]      # FOLDER keeps what is built; default: build/sanitize
set -euo pipefail
root=$(pwd)
folder=$(mkdir -p "${1:-build/sanitize}" && cd "${1:-build/sanitize}" && pwd)
native=$root/kanfield/native
tests="test_operators_fuzzed.py test_splines.py test_branch.py test_encodings.py"

echo "== addresses and undefined behaviour"
# Everything reported ends the process. Checks of undefined behaviour at every access, which take GCC hours on unrolled
# kernels, are left out: wild accesses are AddressSanitizer's.
unchecked="-fno-sanitize=null,alignment,object-size,pointer-overflow,vptr"
flags="-fsanitize=address,undefined $unchecked -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
cmake -G Ninja -S "$native" -B "$folder/address" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="$flags" \
  -DPython_EXECUTABLE="$(command -v python)" -Dnanobind_DIR="$(python -m nanobind --cmake_dir)" > "$folder/cmake.log"
ninja -C "$folder/address"
rm -rf "$folder/site" && mkdir "$folder/site"
cp -r "$root/kanfield" "$folder/site/"
rm -f "$folder"/site/kanfield/_native*.so
cp "$folder"/address/_native*.so "$folder/site/kanfield/"
cd "$folder/site"
export PYTHONPATH=$folder/site
preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $(gcc -print-file-name=libstdc++.so)"
# Python keeps memory until it ends, which is no leak of ours.
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
LD_PRELOAD=$preload python -c "import kanfield._native as n, sys; sys.exit(not n.__file__.startswith('$folder/site'))" ||
  { echo "another kanfield is imported: uninstall the editable one, or use another environment" >&2; exit 1; }
for isa in ${KANFIELD_SANITIZED:-avx512 avx2 baseline}; do
  KANFIELD_ISA=$isa LD_PRELOAD=$preload python -m pytest -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider \
    -q -n 0 -m "not slow" -k "native or odd" $(printf "$root/tests/%s " $tests)
done

echo "== threads"
# ThreadSanitizer does not see how libgomp's threads wait for each other and reports all of them, so the very kernels
# are linked with threads of the standard library in its place.
for isa in baseline:16: avx2:32:"-mavx2 -mfma"; do
  IFS=: read -r name bytes machine <<< "$isa"
  for kernels in spline grid; do
    g++ -std=c++17 -O1 -g -fsanitize=thread -fopenmp -Wno-psabi $machine -DKANFIELD_ISA="$name" \
      -DKANFIELD_VECTOR_BYTES="$bytes" -I"$native" -c "$native/${kernels}_kernels.cpp" -o "$folder/$kernels.o"
  done
  g++ -std=c++17 -O1 -g -fsanitize=thread $machine -DKANFIELD_ISA="$name" -I"$native" "$root/tools/sanitize_threads.cpp" \
    "$folder/spline.o" "$folder/grid.o" -o "$folder/threads"
  TSAN_OPTIONS=halt_on_error=1 "$folder/threads"
done
