# shellcheck shell=bash disable=SC2154
# CRIU: finds one that works, or brings the one of Debian 13 with its own
# libraries into $ckpt_root.  Sourced by tools/setup.
#
#   $ckpt_root/criu                    link to the current criu-VERSION.XXXXXX
#   $ckpt_root/bin/criu                link to the wrapper in there
#   $ckpt_root/include/criu/rpc.proto  the RPC messages, read by the build

readonly criu_minimum=4.1
readonly criu_suite=trixie
readonly debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

sample_pid=
criu_reason=

# --- Does a CRIU work? -----------------------------------------------------

criu_version() {
  "$1" --version 2>/dev/null | sed -n 's/^Version: //p'
}

# at_least VERSION MINIMUM
at_least() {
  [[ -n $1 ]] && printf '%s\n%s\n' "$2" "$1" | sort --version-sort --check=quiet
}

# The last errors in CRIU's logs, in one line.  The one about RLIMIT_NOFILE is
# in every log of a machine without CAP_SYS_RESOURCE and harms nobody.
criu_errors() {
  local errors
  errors=$(grep -h 'Error' "$@" 2>/dev/null |
    grep -v "Can't setup RLIMIT_NOFILE for self" |
    sed 's/^([0-9.]*) *//' | tail -n 3 | paste -s -d ';') || true
  echo "${errors:-it failed or hung for a minute without naming an error}"
}

# Starts a process with nothing open that could not be dumped: a session of
# its own and no descriptors of whoever called this script.
start_sample() {
  (
    cd /
    for fd in /proc/"$BASHPID"/fd/*; do
      ((${fd##*/} <= 2)) || eval "exec ${fd##*/}>&-"
    done
    exec setsid sleep 600
  ) </dev/null >/dev/null 2>&1 &
  sample_pid=$!
  # Else the shell announces its death.
  disown
  wait_for sample_runs
}

sample_runs() {
  [[ $(cat "/proc/$sample_pid/comm" 2>/dev/null) == sleep ]]
}

sample_gone() {
  [[ ! -d /proc/$sample_pid ]]
}

stop_sample() {
  [[ -z $sample_pid ]] || kill -KILL "$sample_pid" 2>/dev/null || true
  sample_pid=
}

# wait_for COMMAND...: polls for up to five seconds.
wait_for() {
  local tries
  for ((tries = 0; tries < 500; tries++)); do
    "$@" && return
    sleep 0.01
  done
  return 1
}

# run_criu CRIU LOG ARGUMENT...: a hanging CRIU must not hang us.
run_criu() {
  timeout --kill-after=5 60 "$1" "${@:3}" >"$2" 2>&1 </dev/null
}

# criu_works CRIU: checks the kernel with it, then dumps and restores one
# process.  On failure the reason is in criu_reason.
criu_works() {
  local criu=$1 images
  images=$(mktemp -d "$scratch/images.XXXXXX")
  local common=(--images-dir "$images" --manage-cgroups=ignore -v4)
  criu_reason=
  if ! run_criu "$criu" "$images/check" check; then
    criu_reason="criu check: $(criu_errors "$images/check")"
    return 1
  fi
  start_sample
  if ! run_criu "$criu" "$images/dump" dump "${common[@]}" \
    --tree "$sample_pid" --log-file dump.log; then
    criu_reason="criu dump: $(criu_errors "$images"/dump*)"
  else
    # Until the shell has reaped it, its number is taken.
    wait_for sample_gone
    if ! run_criu "$criu" "$images/restore" restore "${common[@]}" \
      --restore-detached --log-file restore.log; then
      criu_reason="criu restore: $(criu_errors "$images"/restore*)"
    elif ! sample_runs; then
      criu_reason="criu restore: reported success, but no process is there"
    fi
  fi
  stop_sample
  [[ -z $criu_reason ]]
}

# --- Bringing one ----------------------------------------------------------

# Makes an apt in $scratch/apt that knows one release of Debian and believes
# that nothing is installed, so that it hands out the whole closure.  It goes
# to the network as the system's apt does (proxies, passwords), and checks
# signatures with the system's keyring.
make_private_apt() {
  local dir=$scratch/apt
  mkdir -p "$dir"/{sources,preferences} "$dir"/state/lists/partial \
    "$dir"/cache/archives/partial
  # apt downloads as a user of its own.
  install --directory --owner=_apt "$dir/download"
  : >"$dir/state/status"
  echo "deb [signed-by=$debian_keyring] $1 $criu_suite main" \
    >"$dir/sources.list"
  cat >"$dir/apt.conf" <<END
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "$dir/sources";
Dir::Etc::preferences "$dir/preferences.none";
Dir::Etc::preferencesparts "$dir/preferences";
Dir::State "$dir/state";
Dir::State::status "$dir/state/status";
Dir::Cache "$dir/cache";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
END
}

# private_apt ARGUMENT...
private_apt() {
  apt_get --config-file "$scratch/apt/apt.conf" "$@"
}

# The package and all that it depends on, into $scratch/apt/cache/archives.
fetch_closure() {
  private_apt install --download-only "$1"
}

# The package without what it depends on, into $scratch/apt/download.
fetch_alone() {
  (cd "$scratch/apt/download" && private_apt download "$1")
}

prepare_private_apt() {
  local mirror
  [[ ! -e $scratch/apt/apt.conf ]] || return 0
  start_log
  mirror=$(debian_mirror)
  if [[ -z $mirror ]]; then
    # Images of Debian often come without package lists, and so they stay.
    local lists=(-o "Dir::State::lists=$scratch/lists")
    mkdir -p "$scratch/lists/partial"
    apt_get "${lists[@]}" update || true
    mirror=$(debian_mirror "${lists[@]}")
  fi
  [[ -n $mirror ]] ||
    refuse_apt criu "none of apt's sources is Debian 12 (bookworm main)"
  make_private_apt "$mirror"
  private_apt update ||
    refuse_apt criu "cannot read the package list of Debian $criu_suite"
}

# Starts the program with its own loader and libraries.  Unlike a library
# path in the environment this does not leak into what CRIU starts.
write_wrapper() {
  local libraries=$ckpt_root/criu/usr/lib/x86_64-linux-gnu
  cat >"$1" <<END
#!/bin/sh
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries --argv0 criu $ckpt_root/criu/usr/sbin/criu "\$@"
END
  chmod 755 "$1"
}

# replace_link TARGET LINK: rename is atomic, ln --force is not.
replace_link() {
  ln --symbolic --force --no-dereference "$1" "$2.new"
  mv --no-target-directory "$2.new" "$2"
}

# Unpacks beside the prefix in use and then switches over, so that whoever
# interrupts this keeps the old one.
install_prefix() {
  local version deb new
  version=$(dpkg-deb --field "$scratch"/apt/cache/archives/criu_*.deb Version)
  at_least "$version" "$criu_minimum" ||
    refuse criu "Debian $criu_suite on this mirror has CRIU $version, ckpt" \
      "needs $criu_minimum or newer"
  mkdir -p "$ckpt_root/bin"
  new=$(mktemp -d "$ckpt_root/criu-$version.XXXXXX")
  for deb in "$scratch"/apt/cache/archives/*.deb; do
    dpkg-deb --extract "$deb" "$new"
  done
  chmod 755 "$new"
  mkdir -p "$new/bin"
  write_wrapper "$new/bin/criu"
  replace_link "$(basename "$new")" "$ckpt_root/criu"
  replace_link ../criu/bin/criu "$ckpt_root/bin/criu"
  # Older prefixes, and halves that a killed run left behind.
  find "$ckpt_root" -maxdepth 1 -type d -name 'criu-*' ! -path "$new" \
    -exec rm -rf {} +
}

install_criu() {
  local start=$SECONDS
  report criu "$1; fetching the one of Debian $criu_suite"
  prepare_private_apt
  fetch_closure criu || refuse_apt criu "cannot download CRIU"
  install_prefix
  criu_works "$ckpt_root/bin/criu" ||
    refuse criu "$(criu_version "$ckpt_root/bin/criu") is installed but" \
      "does not work on this machine: $criu_reason"
  report criu "$(criu_version "$ckpt_root/bin/criu") installed in" \
    "$ckpt_root in $((SECONDS - start)) s, dumps and restores"
}

# --- The RPC messages ------------------------------------------------------

setup_proto() {
  local target=$ckpt_root/include/criu/rpc.proto
  [[ ! -s $target ]] || return 0
  if "$check_only"; then
    refuse proto "$target is missing"
    return
  fi
  prepare_private_apt
  fetch_alone libcriu-dev || refuse_apt criu "cannot download libcriu-dev"
  dpkg-deb --extract "$scratch"/apt/download/libcriu-dev_*.deb \
    "$scratch/proto"
  mkdir -p "$ckpt_root/include/criu"
  install --mode=644 "$scratch/proto/usr/include/criu/rpc.proto" "$target.new"
  mv "$target.new" "$target"
}

# --- The whole -------------------------------------------------------------

# Prints the places to look for CRIU, most wanted first.
criu_candidates() {
  {
    [[ -z ${CKPT_CRIU:-} ]] || echo "$CKPT_CRIU"
    type -P criu || true
    [[ ! -x $ckpt_root/bin/criu ]] || echo "$ckpt_root/bin/criu"
  } | awk '!seen[$0]++'
}

# criu_suits CRIU: says so if it is new enough and works, else leaves the
# reason in criu_reason.
criu_suits() {
  local version
  version=$(criu_version "$1" || true)
  if [[ -z $version ]]; then
    criu_reason="$1 does not start"
  elif ! at_least "$version" "$criu_minimum"; then
    criu_reason="$1 is $version, older than $criu_minimum"
  elif ! criu_works "$1"; then
    criu_reason="$1 ($version) does not work: $criu_reason"
  else
    report criu "$version at $1, dumps and restores"
    return
  fi
  return 1
}

setup_criu() {
  local criu candidates
  mapfile -t candidates < <(criu_candidates)
  criu_reason='no CRIU found'
  for criu in "${candidates[@]}"; do
    criu_suits "$criu" && return
    [[ $criu != "${CKPT_CRIU:-}" ]] ||
      report criu "CKPT_CRIU passed over, unset it: $criu_reason"
  done
  if "$check_only"; then
    refuse criu "$criu_reason"
  else
    install_criu "$criu_reason"
  fi
}
