#!/usr/bin/env bash
# One entry: makes the environment, runs the whole pipeline on synthetic data, runs the checks.
# Written for bash 3.2 and later (macOS), with nothing else but coreutils, awk and a Python.
set -euo pipefail

# The caller's folder does not matter, and neither do spaces in our own path.
case "${BASH_SOURCE[0]}" in
  */*) ROOT="$(cd -- "${BASH_SOURCE[0]%/*}" && pwd -P)" ;;
  *) ROOT="$(pwd -P)" ;;
esac
readonly ROOT
readonly CALLED_FROM="$PWD"
readonly HOST_PYTHONS="3.11 3.12 3.13"
readonly DEVICE_PYTHONS="3.10 3.11 3.12 3.13"
readonly JETSON_PYTHONS="3.10 3.12"  # JetPack 6 and 7
readonly HELD_OUT_LIMIT=60
readonly READY="recipes/ready/demo.bundle"  # committed: a bundle of our own making, for ./deploy.sh try
readonly READY_LIMIT_KB=13671               # 14 MB
readonly DEMO_NEEDS_MB=7500                 # .venv with torch 6.4 GB, the rest demo/ and what uv unpacks

use_environment() { # host or device: which environment the functions below make and use
  KIND="$1"
  case "$KIND" in
    host) VENV="$ROOT/.venv" LEAST_MINOR=11 RANGES="requirements.txt requirements-dev.txt" ;;
    device) VENV="$ROOT/.venv-device" LEAST_MINOR=10 RANGES="runtime/requirements.txt" ;;
  esac
  NAME="${VENV##*/}"
  PY="$VENV/bin/python"
  STAMP="$VENV/fieldlens-ready"   # written last: which lock is installed, with its hash
  MARKER="$VENV/fieldlens-made"   # written first: this folder is ours, so we may delete it
}
use_environment host

STEP=0
STEPS=1

# ---------------------------------------------------------------- talking

say() { printf '      %s\n' "$*"; }

fail() { # message, hint
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 2
}

step() { # title, command…: number it, run it, say how long it took
  local title="$1" began="$SECONDS"
  shift
  STEP=$((STEP + 1))
  printf '[%d/%d] %s\n' "$STEP" "$STEPS" "$title"
  "$@"
  printf '[%d/%d] done in %d s\n' "$STEP" "$STEPS" "$((SECONDS - began))"
}

usage() {
  cat <<'TEXT'
usage: ./deploy.sh COMMAND [arguments]

commands:
  try      a first answer without torch: a device's environment, a ready bundle, sample images; lands in try/
  demo     the whole pipeline on synthetic data: train, convert, verify, classify; everything lands in demo/
  test     run the checks; --full adds the long ones, other arguments go to pytest
  setup    make the environment .venv, and nothing else
  lock     write locks/ again from the requirements; --upgrade also moves the pinned versions
  station  the screening station's page on this machine, with a test camera and the demo's bundle; Ctrl-C ends it
  ready-bundle  make the bundle of `try` again, in recipes/ready: the demo, trained and slimmed
  clean    remove demo/, try/, station/, .venv and .venv-device
  help     this text (also --help, -h)

devices, over SSH or by a stick (docs/deploy.md; each has --help, --dry-run and --json):
  provision  HOST         make a device of a machine: code, libraries, trust, service
  push       HOST BUNDLE  bring a bundle to it; it goes back by itself if the bundle does not work there
  release    HOST         bring this checkout's code to it, with the same way back
  rotate     HOST         let other keys count on it, signed with one that it knows
  rollback   HOST         let it serve the version before again
  status     HOST         what it serves, how, and why it last went back
  logs       HOST         the last lines that its service said
  selftest   HOST         run the golden images on it, with what it serves
  bench      HOST         fetch its latency report
  remove     HOST         take the kit off it; its records stay
  rehearse                a device on this machine: SSH on loopback, provision, push, the page; Ctrl-C ends it
  usb        DIR BUNDLE   write an update to a stick, for `fieldlens update` on a station without a network

environment:
  FIELDLENS_PYTHON   the Python (>= 3.11; for try >= 3.10) to make the environment with, not the first one found
TEXT
}

no_arguments() { # command, its arguments…
  [ "$#" -le 1 ] || fail "'$1' takes no arguments, got: ${*:2}" "see ./deploy.sh --help"
}

# ---------------------------------------------------------------- environment

quiet_surroundings() {
  export MPLBACKEND=Agg        # figures go to files; a server has no display
  export PYTHONUTF8=1          # the same text under a bare C locale
  export PYTHONUNBUFFERED=1    # a log shows a line when it happens
  export PYTHONNOUSERSITE=1    # packages in the user's home would hide the locked ones
  export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}"  # a rural line is slow, not dead
  unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH
}

python_version() { # command → "3.12"; fails where the command does not run, as a version manager's empty shim
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

can_use() { # "3.12" → yes from 3.11 on, for a device from 3.10 on
  [ "${1%%.*}" -eq 3 ] && [ "${1#*.}" -ge "$LEAST_MINOR" ]
}

makes_environments() { # Debian's python3 lacks ensurepip until python3-venv is installed; uv does without
  "$1" -c 'import ensurepip, venv' 2>/dev/null || working_uv >/dev/null
}

suitable() { # command, "locked" or "any"
  local version
  version="$(python_version "$1")" || return 1
  can_use "$version" || return 1
  [ "$2" = any ] || [ -f "$ROOT/locks/$KIND-py$version.txt" ] || return 1
  makes_environments "$1"
}

find_python() { # a Python with a lock is better than a newer one without
  local kind name
  for kind in locked any; do
    for name in python3.13 python3.12 python3.11 python3.10 python3 python; do
      if suitable "$name" "$kind"; then
        printf '%s\n' "$name"
        return 0
      fi
    done
  done
  return 1
}

choose_python() {
  if [ -n "${FIELDLENS_PYTHON:-}" ]; then
    suitable "$FIELDLENS_PYTHON" any || fail "FIELDLENS_PYTHON=$FIELDLENS_PYTHON is not a working Python >= 3.$LEAST_MINOR with venv" \
      "name another one, or unset it to let ./deploy.sh search"
    printf '%s\n' "$FIELDLENS_PYTHON"
    return
  fi
  find_python || fail "no working Python >= 3.$LEAST_MINOR found (tried python3.13, python3.12, python3.11, python3, python)" \
    "install one with venv (Debian, Ubuntu: apt install python3.12 python3.12-venv), or set FIELDLENS_PYTHON"
}

working_uv() { # prints the uv to use; one that does not run is none
  local candidate
  for candidate in "$ROOT/.venv/bin/uv" uv; do
    if "$candidate" --version >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

requirement_files() { # of the environment's Python: its lock, else the ranges
  local lock
  lock="locks/$KIND-py$(python_version "$PY").txt"
  # shellcheck disable=SC2086  # a list of known names without spaces
  if [ -f "$ROOT/$lock" ]; then printf '%s\n' "$lock"; else printf '%s\n' $RANGES; fi
}

identity() { # what the stamp must say: files and a hash over them; empty where .venv's Python does not run
  local files
  files="$(cd -- "$ROOT" && requirement_files 2>/dev/null)" || return 0
  # shellcheck disable=SC2086  # two known names without spaces
  (cd -- "$ROOT" && "$PY" -c 'import hashlib, sys
print(*sys.argv[1:], hashlib.sha256(b"".join(open(f, "rb").read() for f in sys.argv[1:])).hexdigest())' $files 2>/dev/null) || true
}

ready() {
  [ -f "$STAMP" ] && [ -x "$PY" ] && [ "$(cat -- "$STAMP")" = "$(identity)" ]
}

usable_venv() { # a Python we support, and something to install with
  local version
  version="$(python_version "$PY")" || return 1
  can_use "$version" || return 1
  "$PY" -c 'import pip' 2>/dev/null || working_uv >/dev/null
}

make_venv() {
  local python uv
  python="$(choose_python)"
  say "making $NAME with $python ($(python_version "$python"))"
  rm -rf -- "$VENV"
  mkdir -- "$VENV"
  : >"$MARKER"
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$VENV"
  else
    uv="$(working_uv)"
    "$uv" venv --quiet --allow-existing --python "$python" "$VENV"
  fi
}

prepare_venv() { # a half-made environment of ours is thrown away, somebody else's never
  if [ -f "$STAMP" ] && usable_venv; then
    say "the requirements changed: updating $NAME"
  elif [ -e "$VENV" ] && [ ! -f "$MARKER" ]; then
    usable_venv || fail "$NAME was not made by ./deploy.sh and holds no Python >= 3.$LEAST_MINOR with pip" \
      "move it away or delete it, then run again"
    say "installing into the $NAME that is already here"
  else
    [ ! -e "$VENV" ] || say "$NAME is unfinished (an interrupted installation): starting over"
    make_venv
  fi
}

uv_requirement() { # uv's own entry with its hashes, from the lock (or its range, without one)
  local files
  files="$(requirement_files)"
  # shellcheck disable=SC2086  # two known names without spaces
  (cd -- "$ROOT" && awk '/^[^ \t#]/ { keep = /^uv[=<>!~ ]/ } keep' $files)
}

bootstrap_uv() { # pip, once, for uv alone
  uv_requirement >"$VENV/uv-requirement.txt"
  "$PY" -m pip install --quiet --disable-pip-version-check -r "$VENV/uv-requirement.txt"
}

install_with_uv() { # file options…
  local uv
  if ! working_uv >/dev/null; then
    say "getting uv with pip"
    bootstrap_uv || { say "pip could not install uv"; return 1; }
  fi
  uv="$(working_uv)" || { say "the installed uv does not run on this machine"; return 1; }
  "$uv" pip install --python "$PY" "$@" || { say "uv stopped with the error above"; return 1; }
}

install_requirements() {
  local files options=() file
  files="$(requirement_files)"
  for file in $files; do options+=(-r "$file"); done
  case "$files" in
    locks/host-*) say "installing from $files; the first time this downloads some gigabytes (torch)" ;;
    locks/*) say "installing from $files; the first time this downloads about 130 MB (OpenVINO, OpenCV)" ;;
    *) say "no lock for Python $(python_version "$PY"): installing from the ranges in" "${files//$'\n'/ and }" ;;
  esac
  install "${options[@]}" ||
    fail "the requirements could not be installed" "see pip's message above; then run ./deploy.sh setup again"
}

install() { # options…: with uv, or with pip where that fails
  cd -- "$ROOT"
  if [ "$KIND" = device ] && ! working_uv >/dev/null; then  # a device has no uv, and needs none
    "$PY" -m pip install --disable-pip-version-check "$@"
  elif ! install_with_uv "$@"; then
    say "falling back to pip, for the reason above"
    "$PY" -m pip install --disable-pip-version-check "$@"
  fi
}

install_command() { # .venv/bin/fieldlens runs this checkout; its link makes the package fieldlens importable, nothing else
  install --quiet --no-deps --no-build-isolation --editable . ||
    fail "the command fieldlens could not be installed" "see the message above; then run ./deploy.sh setup again"
}

build_environment() {
  if ready; then
    say "ready: $NAME, from $(cut -d ' ' -f 1 "$STAMP")"
    return
  fi
  prepare_venv
  rm -f -- "$STAMP"
  install_requirements
  [ "$KIND" = device ] || install_command  # a device's environment runs this folder as it is
  identity >"$STAMP.new"
  mv -- "$STAMP.new" "$STAMP"
}

environment() { # two terminals at once: the second waits, then finds it ready
  (
    if command -v flock >/dev/null 2>&1; then
      flock -n 9 || { say "waiting for another ./deploy.sh to finish the environment"; flock 9; }
    fi
    build_environment 9>&-
  ) 9>"$ROOT/.deploy.lock"
}

# ---------------------------------------------------------------- demo

demo_data() {
  if [ -f demo/data/labels.csv ]; then say "already there: demo/data"; return; fi
  "$PY" -m train demo-data demo/data   # goes on where an interrupted one stopped
}

demo_fit() {
  if [ -f demo/run/operating-point.json ]; then say "already there: demo/run"; return; fi
  rm -rf -- demo/run
  "$PY" -m train fit --recipe recipes/demo.toml --data demo/data --out demo/run
}

demo_bundle() {
  if [ -f demo/demo.bundle/manifest.json ]; then say "already there: demo/demo.bundle"; return; fi
  # The CPU's files only: those for TensorRT take a minute more, and nothing here could run them.
  "$PY" -m convert bundle demo/run --out demo/demo.bundle --targets cpu
}

demo_verify() { "$PY" -m convert verify demo/demo.bundle --data demo/data --split test; }

held_out() { # subjects that neither fitting nor the threshold has seen
  "$PY" -c 'import csv, sys
with open("demo/run/split.csv", newline="", encoding="utf-8") as file:
    images = [row["image"] for row in csv.DictReader(file) if row["split"] == "test"]
print(*(f"demo/data/{image}" for image in images[: int(sys.argv[1])]), sep="\n")' "$HELD_OUT_LIMIT"
}

demo_classify() {
  held_out >demo/held-out.txt
  grep -q . demo/held-out.txt || fail "demo/run/split.csv names no test images" "run ./deploy.sh clean, then ./deploy.sh demo"
  rm -rf -- demo/results.jsonl demo/overlays
  "$PY" -m runtime classify - --bundle demo/demo.bundle --json demo/results.jsonl --report demo/report.html \
    --overlays demo/overlays --state demo/state <demo/held-out.txt
}

first_overlay() {
  local image
  for image in demo/overlays/*; do
    [ -f "$image" ] || fail "no heat map in demo/overlays" "run ./deploy.sh demo again and read what classify says"
    printf '%s\n' "$image"
    return
  done
}

demo_closing() {
  local image
  image="$(first_overlay)"
  cat <<TEXT

report:    $ROOT/demo/report.html
heat map:  $ROOT/$image

next, in $ROOT:
  .venv/bin/fieldlens classify YOUR_FOLDER --bundle demo/demo.bundle
  .venv/bin/fieldlens train new-recipe YOUR_IMAGES --positive CLASS --out YOUR.toml
  .venv/bin/fieldlens selftest demo/demo.bundle
TEXT
}

free_mb() { # of the disk that holds this folder; nothing where df does not say
  df -Pk "$ROOT" 2>/dev/null | awk 'NR == 2 && $4 ~ /^[0-9]+$/ { print int($4 / 1024) }'
}

demo_needs() { # before anything is begun: how long, how much
  local free
  say "takes about 4 minutes on two cores (training: 2), and the first time as long as it takes to download 3 GB"
  if [ -f "$STAMP" ]; then
    say "takes 0.3 GB of disk in demo/, beside the environment that is here already"
    return
  fi
  free="$(free_mb)"
  say "takes 7 GB of disk: .venv 6.4 GB, demo/ 0.3 GB${free:+; $((free / 1024)) GB are free here}"
  say "less to look at first: ./deploy.sh try (0.5 GB, a minute, no training)"
  [ -z "$free" ] || [ "$free" -ge "$DEMO_NEEDS_MB" ] ||
    fail "the disk has $((free / 1024)) GB left, the demo takes 7" "make room, or run ./deploy.sh try, which takes 0.5 GB"
}

demo_to_bundle() { # from nothing to a verified bundle
  cd -- "$ROOT"
  demo_needs
  step "environment" environment
  mkdir -p demo
  step "synthetic data" demo_data
  step "train" demo_fit
  step "convert to a bundle" demo_bundle
  step "verify every precision on the test split" demo_verify
}

cmd_demo() {
  no_arguments demo "$@"
  STEPS=6
  demo_to_bundle
  step "classify held-out images" demo_classify
  demo_closing
}

# ---------------------------------------------------------------- try

try_bundle() {
  [ -f "$READY/manifest.json" ] || fail "there is no $READY" \
    "make it with ./deploy.sh ready-bundle, which installs torch and trains for two minutes"
  "$PY" -m runtime verify "$READY"
}

try_images() { # another seed than training's, so none of these subjects was trained on
  "$PY" -m train demo-data try/images --images "$TRY_IMAGES" --seed 1
}

try_classify() {
  rm -rf -- try/results.jsonl try/overlays
  "$PY" -m runtime classify try/images/images --bundle "$READY" --json try/results.jsonl --report try/report.html \
    --overlays try/overlays --state try/state
}

readonly TRY_IMAGES=30

cmd_try() {
  no_arguments try "$@"
  STEPS=4
  cd -- "$ROOT"
  say "takes about a minute and 0.5 GB of disk, without torch and without training"
  use_environment device
  step "environment of a device, .venv-device" environment
  mkdir -p try
  step "the ready bundle" try_bundle
  step "draw $TRY_IMAGES sample images" try_images
  step "classify them" try_classify
  cat <<TEXT

report:    $ROOT/try/report.html
heat maps: $ROOT/try/overlays

next, in $ROOT:
  .venv-device/bin/python -m runtime classify YOUR_FOLDER --bundle $READY   (drawings only: it knows no patient)
  ./deploy.sh demo                                       the whole way: train, convert, verify, classify
TEXT
}

# ---------------------------------------------------------------- the ready bundle

slim_ready() { # INT8 for CPUs and what it needs, beside the old one until it is whole
  local size
  rm -rf -- demo/ready.bundle
  "$PY" -m convert slim demo/demo.bundle --for cpu --out demo/ready.bundle
  size="$(du -sk demo/ready.bundle | cut -f 1)"
  [ "$size" -le "$READY_LIMIT_KB" ] || fail "the ready bundle has $size kB, and $READY_LIMIT_KB are allowed in the repository" \
    "see with ls -lR demo/ready.bundle what is large"
  mkdir -p "${READY%/*}"
  rm -rf -- "$READY"
  mv -- demo/ready.bundle "$READY"
  say "$READY: $size kB. Commit it last, and at most once a release: every version stays in the history"
}

cmd_ready_bundle() {
  no_arguments ready-bundle "$@"
  STEPS=6
  demo_to_bundle
  step "the part that a CPU needs" slim_ready
}

# ---------------------------------------------------------------- station

readonly STATION_IMAGES=30
CAMERA=""

station_bundle() { # the ready one where there is one, else the demo's
  local bundle
  for bundle in "$READY" demo/demo.bundle; do
    if [ -f "$bundle/manifest.json" ]; then printf '%s\n' "$bundle"; return; fi
  done
  fail "there is no bundle to serve" "run ./deploy.sh demo first"
}

station_images() { # what the test camera sees: drawings that the demo's model has never seen
  mkdir -p station
  "$PY" -m train demo-data station/images --images "$STATION_IMAGES" --seed 1
}

station_camera() { # a test camera in the background; leaves its address in station/camera.txt
  local tries=0
  mkdir -p station
  : >station/camera.txt
  rm -f station/orders
  mkfifo station/orders  # its standard input: it ends where that ends
  # It writes a line for each frame, the port first; without a reader it ends.
  "$PY" tests/fakes/mjpeg_camera.py 15 0 station/images/images <>station/orders 2>/dev/null |
    { read -r port; printf '%s\n' "$port" >station/camera.txt; exec cat >/dev/null; } &
  CAMERA=$!
  while ! grep -q . station/camera.txt; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the test camera did not start" "see the message above"
    sleep 0.1
  done
  say "test camera: http://127.0.0.1:$(head -n 1 station/camera.txt)/"
}

cmd_station() { # options go to `fieldlens serve`
  local bundle
  STEPS=3
  cd -- "$ROOT"
  step "environment" environment
  bundle="$(station_bundle)"
  step "draw $STATION_IMAGES images for a test camera" station_images
  trap 'kill "$CAMERA" 2>/dev/null || true' EXIT
  step "test camera" station_camera
  "$PY" -m runtime serve --bundle "$bundle" --camera "http://127.0.0.1:$(head -n 1 station/camera.txt)/" \
    --data station/data --state station/state "$@"
}

# ---------------------------------------------------------------- devices

on_device() { # command, its arguments…: the long work is Python's
  ready || step "environment" environment >&2
  cd -- "${CALLED_FROM_ROOT:-$CALLED_FROM}"
  exec "$PY" -m fieldlens deploy "$@"
}

rehearse() { # options go to `fieldlens deploy rehearse`
  cd -- "$ROOT"
  CALLED_FROM_ROOT="$ROOT" on_device rehearse rehearsal "$(station_bundle)" "$@"
}

# ---------------------------------------------------------------- the other commands

cmd_setup() {
  no_arguments setup "$@"
  step "environment" environment
}

readonly TEST_PROGRAMS="chromium:chromium sshd:openssh-server ssh-keygen:openssh-client zsh:zsh"  # command:Debian package

test_programs() { # a real browser, a real SSH server and a second shell; installed where that is possible, else named
  local pair missing=""
  for pair in $TEST_PROGRAMS; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
  done
  if [ -z "$missing" ]; then
    say "ready: Chromium, OpenSSH and zsh"
    return
  fi
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing$missing with apt-get"
    # shellcheck disable=SC2086  # a list of package names
    if apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; then
      return
    fi
  fi
  say "not here:$missing. The tests that need them will say so; on Debian or Ubuntu: apt install$missing"
}

cmd_test() {
  STEPS=3
  step "environment" environment
  step "programs that the tests drive" test_programs
  printf '[3/3] checks\n'
  cd -- "$ROOT"
  exec "$PY" -m pytest "$@"
}

uv_for_locks() { # locking needs no gigabytes: uv alone is enough
  working_uv && return
  prepare_venv >&2
  bootstrap_uv >&2
  working_uv
}

compile_lock() { # uv, Python version, output, then sources and options
  local uv="$1" version="$2" output="$3"
  shift 3
  UV_CUSTOM_COMPILE_COMMAND="./deploy.sh lock" UV_PYTHON_DOWNLOADS=never \
    "$uv" pip compile --quiet --universal --python-version "$version" --generate-hashes \
    --no-emit-index-url --no-emit-find-links --output-file "$output" "$@"
}

write_locks() {
  local uv version
  uv="$(uv_for_locks)"
  cd -- "$ROOT"
  mkdir -p locks
  for version in $HOST_PYTHONS; do
    say "locks/host-py$version.txt"
    compile_lock "$uv" "$version" "locks/host-py$version.txt" requirements.txt requirements-dev.txt "$@"
  done
  for version in $DEVICE_PYTHONS; do
    say "locks/device-py$version.txt"
    compile_lock "$uv" "$version" "locks/device-py$version.txt" runtime/requirements.txt "$@"
    say "locks/station-py$version.txt"  # the device's versions, and the station's page
    compile_lock "$uv" "$version" "locks/station-py$version.txt" runtime/requirements.txt runtime/station/requirements.txt \
      --constraint "locks/device-py$version.txt" "$@"
  done
  for version in $JETSON_PYTHONS; do
    say "locks/jetson-py$version.txt and locks/jetson-build-py$version.txt"
    compile_lock "$uv" "$version" "locks/jetson-py$version.txt" runtime/requirements-jetson.txt \
      runtime/station/requirements.txt "$@"
    compile_lock "$uv" "$version" "locks/jetson-build-py$version.txt" runtime/requirements-jetson-build.txt \
      --constraint "locks/jetson-py$version.txt" "$@"
  done
}

cmd_lock() { step "locks" write_locks "$@"; }

remove() { # folder: only what this script made
  if [ -e "$ROOT/$1" ]; then
    say "removing $1"
    rm -rf -- "${ROOT:?}/$1"
  fi
}

clean() {
  local kind
  remove demo
  remove try
  remove station
  remove rehearsal
  for kind in device host; do
    use_environment "$kind"
    if [ -e "$VENV" ] && [ ! -f "$MARKER" ]; then
      say "leaving $NAME: ./deploy.sh did not make it"
    else
      remove "$NAME"
    fi
  done
}

cmd_clean() {
  no_arguments clean "$@"
  step "clean" clean
}

main() {
  local command="${1:-}"
  [ "$#" -eq 0 ] || shift
  quiet_surroundings
  case "$command" in
    try | demo | ready-bundle | station | test | setup | lock | clean) "cmd_${command//-/_}" "$@" ;;
    rehearse) rehearse "$@" ;;
    provision | push | release | rotate | rollback | status | logs | selftest | bench | remove | usb) on_device "$command" "$@" ;;
    help | --help | -h) usage ;;
    "") fail "no command given" "./deploy.sh try gives a first answer in a minute, ./deploy.sh demo shows everything once; ./deploy.sh --help lists the commands" ;;
    *) fail "unknown command '$command'" "./deploy.sh --help lists the commands" ;;
  esac
}

main "$@"
