#!/usr/bin/env bash
# The whole suite on Debian trixie's Python with the newest pins, and the compile check: `make test-newest`.
#
#   tests/newest.sh                          everything
#   tests/newest.sh tests/test_x.py -k name  pytest alone, with these arguments
#
# Needs root, debootstrap and 5 GB; nothing is installed on, or stays mounted in, the machine.
# NEWEST is the folder of the system, kept for the next time; MIRROR is Debian's, by default the
# first that apt uses here.
set -euo pipefail
cd "$(dirname "$0")/.."
RELEASE=trixie
NEWEST=$(realpath -m "${NEWEST:-${XDG_CACHE_HOME:-$HOME/.cache}/jaxdl/newest-$RELEASE}")
MARK=made-by-jaxdl

stop() { echo "error: $*" >&2; exit 2; }
[ "$(id -u)" = 0 ] || stop "make test-newest makes a system of its own: run it as root"
for tool in debootstrap chroot git mount; do
  command -v "$tool" > /dev/null || stop "$tool is not installed; on Debian: apt-get install debootstrap git"
done
# Mounts of a namespace end with it, however this ends.
if [ -z "${IN_NAMESPACE:-}" ] && unshare --mount true 2> /dev/null; then
  IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi

if [ ! -e "$NEWEST" ]; then
  # shellcheck disable=SC2016  # the words are apt's
  MIRROR=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sed -n 1p)}
  echo "== Debian $RELEASE in $NEWEST"
  rm -rf --one-file-system "$NEWEST.part"
  mkdir -p "$NEWEST.part"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,git,make \
    "$RELEASE" "$NEWEST.part" "$MIRROR" > "$NEWEST.log" \
    || stop "debootstrap: $(tail -n 1 "$NEWEST.log") (see $NEWEST.log); MIRROR=URL names another mirror"
  touch "$NEWEST.part/$MARK"
  mv "$NEWEST.part" "$NEWEST"
fi
[ -e "$NEWEST/$MARK" ] || stop "$NEWEST: was not made by this script; name another folder with NEWEST"

mounted=()
# shellcheck disable=SC2329  # the trap calls it
unmount() { for place in "${mounted[@]}"; do umount --lazy "$place"; done; }
trap unmount EXIT
put() { # options of mount, then a place in the new system
  local place=$NEWEST${*: -1}
  mkdir -p "$place"
  mount "${@:1:$#-1}" "$place"
  mounted=("$place" "${mounted[@]}")
}
put -t proc proc /proc # JAX reads /proc/cpuinfo
put --bind /dev /dev
put -t tmpfs tmpfs /dev/shm
if [ -d /dev/pts ]; then put --bind /dev/pts /dev/pts; fi

# The network as it is here: names, certificates, and all files that pip's settings name.
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt \
  "$HOME/.config/pip" "$HOME/.pip"; do
  if [ -e "$file" ]; then mkdir -p "$NEWEST${file%/*}" && cp -rLT "$file" "$NEWEST$file"; fi
done
settings=$(python3 -m pip config list 2> /dev/null || true; env | grep '^PIP_' || true)
for word in $(tr "'=" '  ' <<< "$settings"); do
  case $word in
    file:///*) word=$(dirname "${word#file://}") ;; # an index's pages name files beside it
    /*) ;;
    *) continue ;;
  esac
  # A folder that the new system has of its own (/etc) stays.
  if [ -d "$word" ] && [ -z "$(ls -A "$NEWEST$word" 2> /dev/null)" ]; then
    put --bind -o ro "$word" "$word"
  fi
done

rm -rf --one-file-system "$NEWEST/jaxdl"
mkdir "$NEWEST/jaxdl"
git ls-files -z --cached --others --exclude-standard \
  | tar --null --files-from - --ignore-failed-read -c | tar -x --no-same-owner -C "$NEWEST/jaxdl"

within() { # a command in the new system, with this environment but for what is of our Pythons
  env -u PYTHONPATH -u PYTHONHOME -u PYTHONDONTWRITEBYTECODE -u VIRTUAL_ENV -u TMPDIR HOME="$HOME" \
    PATH=/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$NEWEST" sh -c 'cd /jaxdl && exec "$@"' sh "$@"
}
mkdir -p "$NEWEST$HOME"
[ -e "$NEWEST/venv" ] || within python3 -m venv /venv
echo "== the newest pins"
within pip --disable-pip-version-check install -q -c constraints.txt -e '.[dev]'
within python -c 'import sys, jax, flax, numpy
print("Python", sys.version.split()[0], *(f"{m.__name__} {m.__version__}" for m in (jax, flax, numpy)))'
# Outside of the tree, which is copied again each time: programs are kept for the next run.
tests() { within python -m pytest -n 2 --dist loadgroup -o cache_dir=/var/cache/jaxdl "$@"; }
if [ $# -gt 0 ]; then tests "$@"; exit; fi
failed=0
tests || failed=1
# XLA's CUDA compiler in a folder of its own: beside it every command would look for a GPU.
echo "== the compile check"
within pip --disable-pip-version-check install -q --no-deps --upgrade --target /cuda \
  -c constraints.txt jax-cuda12-pjrt jax-cuda12-plugin nvidia-cuda-nvcc-cu12
within env PYTHONPATH=/cuda python -m pytest tests/planner/test_compile_check.py || failed=1
within env PYTHONPATH=/cuda python -m jaxdl compile-check --device h100 --gpus 1 --no-largest || failed=1
exit $failed
