#!/usr/bin/env bash
# Build the image and run it, with no docker engine: buildah, podman and runc, as root.
#
#   containers/image-test.sh tools    are they here, and new enough
#   containers/image-test.sh base     a base image from Debian's packages, where none can be pulled
#   containers/image-test.sh build    the image (JAX_EXTRA=cpu); `make image`
#   containers/image-test.sh test     run it: doctor, digits, services, stop and go on; `make image-test`
#   containers/image-test.sh gpu      compose.yaml hands GPUs on: a made-up CDI device, podman-compose
#
# BASE_IMAGE names another base, BUILD_FLAGS gives buildah more flags (a proxy's certificates:
# '--volume /etc/ssl/certs:/etc/ssl/certs:ro'), WORK is the folder below which the base is made.
set -euo pipefail
cd "$(dirname "$0")/.."
JAX_EXTRA=${JAX_EXTRA:-cpu}
WORK=${WORK:-${TMPDIR:-/tmp}}/jaxdl-image  # all that is deleted is in a folder of our name
IMAGE=localhost/jaxdl:$JAX_EXTRA
RELEASE=trixie # of Debian, with Python 3.13
OWN_BASE=localhost/jaxdl-base-$RELEASE
BASE_IMAGE=${BASE_IMAGE:-$OWN_BASE}
LEAST_COMPOSE=1.2 # Debian 12 has 1.0.3, which puts a container with a network_mode into a network, too

need() {
  for tool in "$@"; do
    command -v "$tool" > /dev/null || {
      local install="on Debian or Ubuntu: apt-get install buildah podman runc debootstrap"
      if [ "$tool" = podman-compose ]; then install="pip install -c constraints.txt podman-compose"; fi
      echo "error: $tool is not installed; $install" >&2
      exit 2
    }
  done
}
compose() { # podman-compose, and new enough
  need podman-compose
  local version
  version=$(podman-compose --version 2> /dev/null | sed -n 's/^podman-compose[a-z]* version:* *\([0-9.]*\).*/\1/p')
  if [ "$(printf '%s\n' "$LEAST_COMPOSE" "${version:-0}" | sort -V | head -n 1)" != "$LEAST_COMPOSE" ]; then
    echo "error: $(command -v podman-compose) is ${version:-of no known version}, and $LEAST_COMPOSE or later" \
      "is needed; pip install -c constraints.txt podman-compose" >&2
    exit 2
  fi
}
tools() { need buildah podman runc python3; compose; }
storage() { local tool=$1; shift; "$tool" --storage-driver overlay "$@"; }
# runc: crun needs cgroups that a machine without systemd has not.
engine() { storage podman --cgroup-manager cgroupfs --runtime runc "$@"; }

base() {
  need buildah debootstrap
  if storage buildah inspect --type image "$BASE_IMAGE" > /dev/null 2>&1; then return; fi
  mkdir -p "$WORK"
  local tar=$WORK/base-$RELEASE.tar
  if [ ! -f "$tar" ]; then
    rm -rf "$WORK/root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$RELEASE" "$WORK/root"
    tar -C "$WORK/root" --one-file-system -cf "$tar.part" .
    mv "$tar.part" "$tar"
    rm -rf "$WORK/root"
  fi
  printf 'FROM scratch\nADD %s /\n' "${tar##*/}" > "$WORK/Dockerfile"
  storage buildah build --isolation chroot --tag "$BASE_IMAGE" "$WORK"
}

build() {
  need buildah
  if [ "$BASE_IMAGE" = "$OWN_BASE" ]; then base; fi
  # OCI's format has no HEALTHCHECK.
  local status=0
  # shellcheck disable=SC2086
  storage buildah build --isolation chroot --network host --format docker --layers \
    --file containers/Dockerfile --ignorefile containers/Dockerfile.dockerignore \
    --build-arg BASE_IMAGE="$BASE_IMAGE" --build-arg JAX_EXTRA="$JAX_EXTRA" \
    ${BUILD_FLAGS:-} --tag "$IMAGE" . 2>&1 | tee "$WORK/build.log" || status=$?
  if [ "$status" != 0 ] && grep -qiE 'certificate.?verify.?failed|SSLCertVerificationError|self.signed certificate' "$WORK/build.log"; then
    echo "error: a certificate is refused; behind a proxy that has its own, give the build this machine's:" \
      "BUILD_FLAGS='--volume /etc/ssl/certs:/etc/ssl/certs:ro' make image" >&2
  fi
  [ "$status" = 0 ] || exit "$status"
  storage buildah images "$IMAGE"
}

run() { engine run --network host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"; }
once() { run --rm --no-healthcheck "$@"; } # podman's needs systemd, and complains without
say() { echo "== $SECONDS s: $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
within() { # seconds, then a command that has to succeed by then
  local seconds=$1; shift
  for _ in $(seq "$seconds"); do if "$@" > /dev/null 2>&1; then return; fi; sleep 1; done
  fail "$* did not succeed in $seconds s"
}
answers() { # expected status, URL
  [ "$(python3 - "$2" <<< 'import sys, urllib.request as r, urllib.error as e
try: print(r.urlopen(sys.argv[1], timeout=5).status)
except e.HTTPError as error: print(error.code)')" = "$1" ]
}
# Two devices that are /dev/null, and an nvidia-smi that says so: what a real specification has.
gpu() {
  need podman runc
  compose
  local cdi=/var/run/cdi/jaxdl-test.yaml smi=$WORK/nvidia-smi
  printf '#!/bin/sh\necho made-up GPU\n' > "$smi"
  chmod 755 "$smi"
  mkdir -p /var/run/cdi
  trap clear_up_gpu EXIT
  cat > "$cdi" << EOF
cdiVersion: 0.5.0
kind: nvidia.com/gpu
containerEdits:
  mounts: [{hostPath: $smi, containerPath: /usr/bin/nvidia-smi, options: [ro, bind]}]
devices:
  - name: all
    containerEdits:
      deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/null}, {path: /dev/nvidiactl, hostPath: /dev/null}]
EOF
  printf 'services: {train: {network_mode: host}}\n' > "$WORK/host.yaml" # a bridge needs a firewall's rights
  say "compose.yaml's reservation brings devices and driver files into the container"
  JUPYTER_TOKEN=secret JAX_EXTRA=$JAX_EXTRA podman-compose --project-name jaxdl-test \
    --file containers/compose.yaml --file "$WORK/host.yaml" \
    --podman-args "--storage-driver overlay --cgroup-manager cgroupfs --runtime runc" \
    --podman-run-args "--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --no-healthcheck" \
    run --rm -T train sh -c 'ls /dev/nvidia0 /dev/nvidiactl && nvidia-smi; jaxdl doctor' > "$WORK/gpu.log" 2>&1 || true
  cat "$WORK/gpu.log"
  grep -q "made-up GPU" "$WORK/gpu.log" || fail "no driver files"
  grep -qE "NVIDIA GPU.* but (no CUDA plugin|jax uses the CPU)" "$WORK/gpu.log" \
    || fail "the doctor does not see the GPU that jax cannot use"
  say "passed"
}

clear_up_gpu() {
  rm -f /var/run/cdi/jaxdl-test.yaml
  engine pod rm --force pod_jaxdl-test > /dev/null 2>&1 || true
  engine volume rm --force jaxdl-test_data jaxdl-test_runs jaxdl-test_cache > /dev/null 2>&1 || true
}
clear_up() {
  engine rm --force --volumes --time 5 jaxdl-train jaxdl-board jaxdl-lab > /dev/null 2>&1 || true
  engine volume rm --force jaxdl-test-runs jaxdl-test-cache > /dev/null 2>&1 || true
}

check() {
  need podman runc python3
  trap clear_up EXIT
  clear_up
  local volumes=(--volume jaxdl-test-runs:/jaxdl/runs --volume jaxdl-test-cache:/cache)

  say "runs as a numbered user that is not root"
  [ "$(once "$IMAGE" python -c 'import os; print(os.getuid())')" = 1000 ] || fail "user"
  once "${volumes[@]}" "$IMAGE" touch /jaxdl/runs/mine /cache/mine || fail "volumes are not its own"

  say "jaxdl doctor"
  once "$IMAGE" jaxdl doctor || fail "doctor"

  say "the digits check"
  once "${volumes[@]}" "$IMAGE" || fail "digits"

  say "a tiny make run: FCN, word2vec and LSTM for an epoch or two"
  once "${volumes[@]}" "$IMAGE" jaxdl fcn train --preset demo --out runs/fcn \
    --scenes 12 4 --epochs 1 --samples 2 || fail "fcn"
  once "${volumes[@]}" "$IMAGE" jaxdl lstm train --preset demo --out runs/lstm \
    --steps 200 --seeds 2 || fail "lstm"
  once "${volumes[@]}" "$IMAGE" sh -c 'seq 3000 | sed "s/.*/one two three four five six/" > /cache/text \
    && jaxdl word2vec train --data /cache/text --epochs 1 --out runs/words' || fail "word2vec"

  say "a run stopped on its way goes on from the volume"
  run --detach --name jaxdl-train "${volumes[@]}" "$IMAGE" \
    jaxdl digits --out runs/stopped --epochs 100 > /dev/null
  within 120 engine exec jaxdl-train test -s runs/stopped/metrics.jsonl
  say "healthcheck"
  engine healthcheck run jaxdl-train || fail "healthcheck"
  engine stop --time 60 jaxdl-train > /dev/null
  [ "$(engine inspect --format '{{.State.ExitCode}}' jaxdl-train)" = 143 ] || fail "status after SIGTERM"
  engine start --attach jaxdl-train | tee "$WORK/again.log" || fail "the second start"
  grep -q "resumes at step" "$WORK/again.log" || fail "it began anew"

  say "TensorBoard answers on loopback"
  run --detach --no-healthcheck --name jaxdl-board "${volumes[@]}" "$IMAGE" \
    tensorboard --logdir runs --host 127.0.0.1 --port 6006 > /dev/null
  within 60 answers 200 http://127.0.0.1:6006/data/runs

  say "Jupyter answers with its token, and 403 without"
  run --detach --no-healthcheck --name jaxdl-lab --env JUPYTER_TOKEN=secret "$IMAGE" \
    jupyter lab --no-browser --ip 127.0.0.1 --port 8888 > /dev/null
  within 60 answers 200 "http://127.0.0.1:8888/api/kernels?token=secret"
  answers 403 http://127.0.0.1:8888/api/kernels || fail "Jupyter without its token"
  say "passed"
}

mkdir -p "$WORK"
case "${1:-}" in
  tools) tools ;;
  base) base ;;
  build) build ;;
  test) check ;;
  gpu) gpu ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
