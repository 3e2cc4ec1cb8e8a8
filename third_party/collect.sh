#!/usr/bin/env bash
# Gathers into one folder what the packages of packages.txt give a build, slimmed, for a machine that has g++, CMake and
# the CUDA toolkit but neither these packages nor a network: third_party/collect.sh FOLDER   (./dev collect)
#
# The folder is a prefix like /usr: CMAKE_PREFIX_PATH=FOLDER finds all of it, on a machine whose glibc is this one's or
# newer. Shared libraries find each other beside them ($ORIGIN).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
most_mib=48

fail() {
  printf 'collect: %s\n' "$*" >&2
  exit 1
}
(($# == 1)) || fail "usage: third_party/collect.sh FOLDER"
command -v patchelf >/dev/null || fail "patchelf is missing: ./dev collect installs it"
out=$1
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
arch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || g++ -print-multiarch)
lib=$out/lib/$arch
mkdir -p "$lib" "$out/bin"

# ---- which packages, and those that they only stand for

packages=()
while read -r group package _; do
  [[ $group == build || $group == test ]] || continue
  case $package in
    # Tools that the other machine has, or that its build does without.
    g++ | cmake | ccache | git | python3 | libopenmpi-dev | openmpi-bin) ;;
    *) packages+=("$package") ;;
  esac
done < <(grep -v '^#' third_party/packages.txt)
while read -r package; do packages+=("$package"); done < <(
  dpkg-query -W -f '${Depends}\n' "${packages[@]}" | tr ',|' '\n' | sed 's/ *(.*//; s/^ *//; s/ *$//' |
    grep -E '^(libboost[a-z-]*[0-9.]+-dev|googletest)$' | sort -u
)
packages+=(pkgconf pkgconf-bin ninja-build)
mapfile -t packages < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort -u)

# ---- headers: all of a package's, but of the large ones (Boost, Eigen, Armadillo) only those that the sources reach

large='/usr/include/(boost|eigen3|armadillo_bits)/'

while read -r file; do
  [[ -f $file ]] || continue
  [[ ! $file =~ $large ]] || continue
  case $file in
    # Parts of a package that no source includes.
    */google/protobuf/compiler/*) continue ;;
    */include/hdf5/serial/*.inc | */include/hdf5/serial/*.mod) continue ;;
  esac
  mkdir -p "$out/${file%/*}"
  cp -L "$file" "$out/$file"
done < <(dpkg -L "${packages[@]}" | grep '^/usr/include/' | sort -u)
mv "$out/usr/include" "$out/include"
rmdir "$out/usr"

mapfile -t used < <(grep -rhoE --include='*.h' --include='*.cpp' '#include <(boost/[^>]+|Eigen/[^>]+|armadillo)>' kernels io frontend flow train experiments tests | sort -u)
{
  # What CMake looks for; then what the sources name.
  printf '%s\n' '#include <boost/version.hpp>' '#include <Eigen/Core>' "${used[@]}" |
    g++ -std=c++20 -I/usr/include/eigen3 -M -x c++ - | grep -oE "${large}[^ ]+"
  echo /usr/include/eigen3/signature_of_eigen3_matrix_library
  # What Boost asks of another compiler must be there too.
  find /usr/include/boost/{config,predef} -name '*.hpp'
} | xargs realpath | sort -u | while read -r file; do
  to=$out/include/${file#/usr/include/}
  mkdir -p "${to%/*}"
  cp -L "$file" "$to"
done
[[ -d $out/include/boost && -d $out/include/eigen3 && -d $out/include/armadillo_bits ]] || fail "the sources reach no header of a large package"

# ---- what CMake and pkg-config read

while read -r file; do
  [[ -f $file ]] || continue
  case $file in
    # Their shared twin is not collected.
    */libboost_*-variant-shared.cmake) continue ;;
  esac
  to=$out/${file#/usr/}
  mkdir -p "${to%/*}"
  cp -L "$file" "$to"
done < <(dpkg -L "${packages[@]}" | grep -E '^/usr/(lib/[^/]+|share)/cmake/|^/usr/(lib/[^/]+|share)/pkgconfig/.*\.pc$' |
  grep -v '/cmake/hdf5' | sort -u)
# A package's private needs are for static linking; its places are relative to the file.
mkdir -p "$lib/pkgconfig" "$out/share/pkgconfig"
sed -i -e '/^Requires\.private/d' -e '/^Libs\.private/d' -e "s|/usr\b|\${pcfiledir}/../../..|g" "$lib"/pkgconfig/*.pc
sed -i -e '/^Requires\.private/d' -e '/^Libs\.private/d' -e "s|/usr\b|\${pcfiledir}/../..|g" "$out"/share/pkgconfig/*.pc

# ---- libraries: static where the build links them so, else shared, with all that these need beside them

static=(libhdf5_serial libsz libaec libz libgtest libgtest_main libgmock libgmock_main libboost_context)
unused='/lib(hdf5|hwy_contrib|hwy_test|soxr-lsr|protobuf-lite\.a|protobuf\.a|boost_(exception|test_exec|unit_test))'
# place FILE [TARGET]: a shared library under its own name, once.
place() {
  local file=$1 real
  real=$(readlink -f "$file")
  [[ -e $lib/$(basename "$real") ]] || install -m 755 "$real" "$lib/"
  if [[ $(basename "$real") != $(basename "$file") ]]; then ln -sfn "$(basename "$real")" "$lib/$(basename "$file")"; fi
}
for name in "${static[@]}"; do
  file=/usr/lib/$arch/$name.a
  [[ -f $file ]] || fail "$file is missing: ./dev collect installs its package"
  cp "$file" "$lib/"
done
while read -r file; do
  [[ -e $file ]] || continue
  name=$(basename "$file" .so)
  [[ " ${static[*]} " == *" $name "* || $file =~ $unused ]] || place "$file"
done < <(dpkg -L "${packages[@]}" | grep -E "^/usr/lib/$arch/lib[^/]*\.so$" | sort -u)
for program in protoc pkgconf ninja; do
  [[ -x /usr/bin/$program ]] && cp -L "/usr/bin/$program" "$out/bin/"
done
ln -sfn pkgconf "$out/bin/pkg-config"
# glibc's and gcc's own are on every machine that compiles.
system='^(linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libgomp)[.-]'
while read -r file; do
  [[ $(basename "$file") =~ $system ]] || place "$file"
done < <(find "$lib" "$out/bin" -type f \( -name '*.so*' -o -path '*/bin/*' \) -exec ldd {} + 2>/dev/null |
  sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u)
# The name that a program asks for is the library's soname.
for file in "$lib"/*.so.*; do
  [[ -L $file ]] && continue
  soname=$(patchelf --print-soname "$file")
  [[ -z $soname || -e $lib/$soname ]] || ln -s "$(basename "$file")" "$lib/$soname"
done

# ---- slimmer, and able to stand anywhere

find "$lib" -name '*.a' -exec strip --strip-debug {} +
find "$lib" "$out/bin" -type f ! -name '*.a' ! -name '*.cmake' ! -name '*.pc' -print0 | while IFS= read -r -d '' file; do
  head -c 4 "$file" | grep -q ELF || continue
  strip --strip-unneeded "$file"
  # The origin is the loader's to fill in.
  # shellcheck disable=SC2016
  if [[ $file == "$out"/bin/* ]]; then patchelf --set-rpath '$ORIGIN/../lib/'"$arch" "$file"; else patchelf --set-rpath '$ORIGIN' "$file"; fi
done

kib=$(du -sk --apparent-size "$out" | cut -f1)
printf '%s: %d MiB, of it headers %d, libraries and programs %d\n' "$out" $((kib / 1024)) \
  $(($(du -sk --apparent-size "$out/include" | cut -f1) / 1024)) $(($(du -sk --apparent-size "$lib" "$out/bin" | awk '{s += $1} END {print s}') / 1024))
((kib <= most_mib * 1024)) || fail "that is more than $most_mib MiB"
