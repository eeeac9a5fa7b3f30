# shellcheck shell=bash disable=SC2154
# The packages from the system's own apt sources.  Sourced by tools/setup.

# Compiler, Bazel and the libraries that third_party/ points at.
readonly build_packages=(
  bazel-bootstrap g++ python3 zlib1g-dev libprotobuf-dev protobuf-compiler
  protobuf-compiler-grpc libgrpc++-dev libabsl-dev libssl-dev googletest
  prometheus-cpp-dev
  libzstd-dev libxxhash-dev
)
# What tests and quickstart start: certificates, network namespaces, process
# lists, a debugger that must not notice a freeze, and a Redis server to
# checkpoint (redis-tools carries the server's program without the package that
# would start a daemon); pkg-config, as programs that use libckpt do; gRPC in
# Python, for the controller of examples/.
readonly run_packages=(openssl iproute2 procps gdb redis-tools pkgconf
  python3-grpcio python3-protobuf)
readonly lint_packages=(clang clang-format clang-tidy libclang-rt-14-dev)

# Signs the releases that CRIU comes from; the first Debian 12 did not have it.
readonly trixie_key=/usr/share/keyrings/debian-archive-trixie-automatic.gpg

# How apt words it.
readonly no_network='resolv|(nable to|ould not) connect|onnection (fail|timed)'

log_started=false

# Prints those of the named packages that are not installed.
packages_missing() {
  comm -13 \
    <(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "$@" \
      2>/dev/null | sed -n 's/ installed$//p' | sort -u) \
    <(printf '%s\n' "$@" | sort -u)
}

# apt_get ARGUMENT...: quiet, never asks, all output to the log.
apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get --yes --no-install-recommends \
    -o Acquire::Retries=2 -o Acquire::http::Timeout=20 \
    -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold \
    "$@" >>"$log_file" 2>&1 </dev/null
}

# Begins a new log with the first command that needs one, so that a run with
# nothing to do keeps the log of the one that installed.
start_log() {
  "$log_started" || : >"$log_file"
  log_started=true
}

# Prints apt's last failure in one sentence.
apt_reason() {
  local mirror
  mirror=$(debian_mirror)
  # Other sources may fail as well, and are no reason.  Before the first
  # update no mirror is known, then any failure will do.
  if grep -F "$mirror" "$log_file" | grep -qE "$no_network"; then
    echo "the package mirror cannot be reached; check the network and apt's" \
      "sources"
  else
    grep '^E: ' "$log_file" | tail -n 1 || true
  fi
}

# refuse_apt WORD WHAT: what went wrong, and apt's reason for it.
refuse_apt() {
  local reason
  reason=$(apt_reason)
  refuse "$1" "$2${reason:+: $reason} (log: $log_file)"
}

setup_packages() {
  local wanted=("${build_packages[@]}" "${run_packages[@]}") missing
  "$with_lint" && wanted+=("${lint_packages[@]}")
  mapfile -t missing < <(packages_missing "${wanted[@]}")
  # Installed, but perhaps from before the next release's key existed.
  [[ -e $trixie_key ]] || missing+=(debian-archive-keyring)
  if ((${#missing[@]} == 0)); then
    report packages "all ${#wanted[@]} there"
  elif "$check_only"; then
    refuse packages "${#missing[@]} of ${#wanted[@]} missing: ${missing[*]}"
  else
    install_packages "${missing[@]}"
  fi
}

install_packages() {
  local start=$SECONDS
  report packages "installing $# and what they need, some minutes: $*"
  start_log
  # An interrupted run may have left packages half set up; apt refuses then.
  DEBIAN_FRONTEND=noninteractive dpkg --configure --pending \
    >>"$log_file" 2>&1 </dev/null || true
  # A third-party source that fails is no reason to stop: what matters is
  # whether the install finds its packages.
  apt_get update || true
  apt_get install "$@" || refuse_apt packages "apt-get install failed"
  report packages "installed in $((SECONDS - start)) s"
}
