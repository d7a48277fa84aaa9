#!/bin/sh
# Sets up a bare Debian 12 for building coca: packages by apt, and FAISS with its C API.
#
#   sh setup.sh all DIR        both of the next two
#   sh setup.sh packages       install what is missing with apt-get (root or sudo only for this)
#   sh setup.sh faiss DIR      build FAISS into DIR: lib/libfaiss.a lib/libfaiss_c.a include/faiss/c_api/...
#   sh setup.sh fuzz clang-14  install that compiler with its libFuzzer: for make fuzz alone
#   sh setup.sh check DIR      exit 0 if nothing is missing
#   sh setup.sh flags DIR      print the compiler's and linker's flags as make variables
#
# Debian's libfaiss-dev has the headers of the C API but no object of it, and a library for processors without
# AVX2 (3 to 6 times slower). Debian's source package has everything, so we build that; the user's own apt
# configuration is neither read for sources nor changed, and root is not needed.
set -eu

PACKAGES="build-essential g++ make cmake pkg-config dpkg-dev ca-certificates
          libopenblas-openmp-dev libsqlite3-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libheif-dev
          libgif-dev libtiff-dev libraw-dev liblcms2-dev libexpat1-dev
          libpcre2-dev libutf8proc-dev libcjson-dev libxxhash-dev zlib1g-dev libcmocka-dev"

MODULES="sqlite3 libjpeg libpng libwebp libheif libtiff-4 libraw_r lcms2 expat libpcre2-8 libutf8proc libcjson libxxhash zlib"

# The OpenMP flavour, wherever the alternatives point: the pthread flavour fights with FAISS's threads.
openblas() {
    for d in /usr/lib/*/openblas-openmp; do
        if [ -f "$d/libopenblas.so" ]; then echo "$d"; return; fi
    done
    return 1
}

say() { printf 'setup: %s\n' "$*"; }

# packages NAME...: installs those that are missing
packages() {
    missing=""
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
    done
    if [ -z "$missing" ]; then say "all packages are there"; return; fi
    say "installing with apt-get:$missing"
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { say "not root and no sudo; ask an administrator to run: apt-get install$missing"; exit 1; }
        as_root=sudo
    fi
    # shellcheck disable=SC2086 # a list of words is meant
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install $missing >/dev/null 2>&1 || {
        $as_root apt-get -q update
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install $missing
    }
}

faiss() {
    dest=$1
    case $dest in /*) ;; *) dest=$PWD/$dest ;; esac
    mkdir -p "$(dirname "$dest")"
    # Two clones setting up at once: the second waits, then finds the work done.
    exec 9>"$dest.lock"
    flock 9
    if [ -f "$dest/lib/libfaiss_c.a" ]; then say "FAISS is there: $dest"; return; fi

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT INT TERM
    mkdir -p "$work/sources" "$work/lists/partial" "$work/source"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    # The user's own mirrors, with deb turned into deb-src; both of apt's formats.
    found=""
    for f in /etc/apt/sources.list.d/*.sources; do
        [ -f "$f" ] || continue
        grep -q 'debian' "$f" || continue
        sed 's/^Types:.*/Types: deb-src/' "$f" >"$work/sources/$(basename "$f")"
        found=1
    done
    if [ -f /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/sources/main.list"
        [ -s "$work/sources/main.list" ] && found=1
    fi
    if [ -z "$found" ]; then
        printf 'Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm\nComponents: main\nSigned-By: %s\n' \
            "$keyring" >"$work/sources/debian.sources"
    fi
    apt="-oDir::Etc::SourceList=/dev/null -oDir::Etc::SourceParts=$work/sources -oDir::State::Lists=$work/lists
         -oDir::Cache::pkgcache= -oDir::Cache::srcpkgcache= -oAPT::Sandbox::User="
    say "fetching FAISS from Debian's source package"
    # shellcheck disable=SC2086
    apt-get -qq $apt update
    # shellcheck disable=SC2086
    (cd "$work/source" && apt-get -qq $apt source --download-only faiss && dpkg-source --no-check -x ./faiss_*.dsc faiss >/dev/null)
    say "building FAISS and its C API for AVX2 (two to four minutes)"
    cmake -S "$work/source/faiss" -B "$work/build" -DFAISS_ENABLE_GPU=OFF -DFAISS_ENABLE_PYTHON=OFF -DFAISS_ENABLE_C_API=ON \
        -DBUILD_TESTING=OFF -DBUILD_SHARED_LIBS=OFF -DCMAKE_BUILD_TYPE=Release -DBLA_VENDOR=OpenBLAS \
        -DCMAKE_CXX_FLAGS="-mavx2 -mfma -mf16c -mpopcnt -DNDEBUG" >"$work/log" 2>&1 &&
    cmake --build "$work/build" --target faiss faiss_c -j "$(nproc)" >>"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        say "FAISS did not build; its log ends above"
        exit 1
    }
    rm -rf "$dest.partial"
    mkdir -p "$dest.partial/lib" "$dest.partial/include/faiss/c_api"
    cp "$work/build/faiss/libfaiss.a" "$work/build/c_api/libfaiss_c.a" "$dest.partial/lib/"
    (cd "$work/source/faiss/c_api" && find . -name '*.h' ! -path './gpu/*' -exec cp --parents {} "$dest.partial/include/faiss/c_api/" ';')
    (cd "$work/source" && ls faiss_*.dsc) | sed 's/^faiss_\(.*\)\.dsc$/\1/' >"$dest.partial/version"
    rm -rf "$dest"
    mv "$dest.partial" "$dest"
    say "FAISS is in $dest"
}

# What a build needs, asked of pkg-config so that it works where dpkg does not rule.
check() {
    # giflib has no entry in pkg-config.
    pkg-config --exists $MODULES cmocka 2>/dev/null && [ -f /usr/include/gif_lib.h ] && openblas >/dev/null &&
        [ -f "$1/lib/libfaiss_c.a" ] && [ -f "$1/lib/libfaiss.a" ]
}

flags() {
    blas=$(openblas)
    echo "# Written by setup.sh flags."
    echo "LIB_CFLAGS := -DCOCA_FAISS_VERSION='\"$(cat "$1/version")\"' -I$1/include -I$(echo "$blas" | sed 's,/lib/,/include/,') $(pkg-config --cflags $MODULES)"
    # libheif is loaded when it is needed (model/image/heif.c).
    linked=$(echo "$MODULES" | sed 's/libheif//')
    echo "LIB_LIBS   := $1/lib/libfaiss_c.a $1/lib/libfaiss.a -L$blas -Wl,-rpath,$blas -lopenblas $(pkg-config --libs $linked) -lgif" \
         "-lgomp -lstdc++ -lpthread -lm"
    echo "TEST_LIBS  := $(pkg-config --libs cmocka)"
}

case ${1-} in
all) check "${2:?usage: setup.sh all DIR}" || { packages $PACKAGES; faiss "$2"; } ;;
packages) packages $PACKAGES ;;
faiss) faiss "${2:?usage: setup.sh faiss DIR}" ;;
fuzz) clang=${2:?usage: setup.sh fuzz clang-14}; packages "$clang" "libclang-rt-${clang#clang-}-dev" ;;
check) check "${2:?usage: setup.sh check DIR}" ;;
flags) flags "${2:?usage: setup.sh flags DIR}" ;;
*) say "usage: setup.sh all DIR | packages | faiss DIR | fuzz CLANG | check DIR | flags DIR"; exit 2 ;;
esac
