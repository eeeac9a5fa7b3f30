# shellcheck shell=bash disable=SC2154
# CRIU: finds one that works, or brings one of a newer Debian with its own
# libraries into $ckpt_root.  Sourced by tools/setup.
#
#   $ckpt_root/criu                    link to the current criu-VERSION.XXXXXX
#   $ckpt_root/bin/criu                link to the wrapper in there
#   $ckpt_root/include/criu/rpc.proto  the RPC messages, read by the build
#   $ckpt_root/probed                  which CRIU was seen to work, see probe.sh

readonly criu_minimum=4.1
# Debian 13, and then what comes after it.
readonly criu_suites=(trixie forky)
# Linux 6.16 made SO_PASSCRED and SO_PASSSEC fail on inet sockets.  CRIU before
# 4.2 reads them of every socket and takes that for an error, so there it dumps
# no inet socket at all.  Not worth a download to see.
readonly strict_sockets_linux=6.16
readonly strict_sockets_criu=4.2
readonly debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

mirror=
# Why the suites tried so far did not do.
suite_reasons=()

criu_version() {
  "$1" --version 2>/dev/null | sed -n 's/^Version: //p'
}

# at_least VERSION MINIMUM
at_least() {
  [[ -n $1 ]] && printf '%s\n%s\n' "$2" "$1" | sort --version-sort --check=quiet
}

# --- An apt for another release --------------------------------------------

# make_private_apt SUITE MIRROR: an apt in $scratch/SUITE that knows one
# release of Debian and believes that nothing is installed, so that it hands
# out the whole closure.  It goes to the network as the system's apt does
# (proxies, passwords), and checks signatures with the system's keyring.
make_private_apt() {
  local dir=$scratch/$1
  mkdir -p "$dir"/{sources,preferences} "$dir"/state/lists/partial \
    "$dir"/cache/archives/partial
  # apt downloads as a user of its own.
  install --directory --owner=_apt "$dir/download"
  : >"$dir/state/status"
  echo "deb [signed-by=$debian_keyring] $2 $1 main" >"$dir/sources.list"
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

# private_apt SUITE ARGUMENT...
private_apt() {
  apt_get --config-file "$scratch/$1/apt.conf" "${@:2}"
}

# Sets mirror, once.
find_mirror() {
  [[ -z $mirror ]] || return 0
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
}

# prepare_private_apt SUITE: fails if the mirror does not have it.
prepare_private_apt() {
  [[ ! -e $scratch/$1/ready ]] || return 0
  find_mirror
  make_private_apt "$1" "$mirror"
  update_private_apt "$1" || return
  touch "$scratch/$1/ready"
}

# Unlike stable, testing says of its package list that it is good for a week.
# A mirror that is no longer updated, or a clock that is ahead, is no reason to
# do without: an old CRIU that works is as good.  Signatures are checked still.
update_private_apt() {
  private_apt "$1" update && return
  tail -n 20 "$log_file" | grep -q '^E: Release file .* is expired' &&
    [[ $1 != "${criu_suites[0]}" ]] &&
    echo 'Acquire::Check-Valid-Until "false";' >>"$scratch/$1/apt.conf" &&
    private_apt "$1" update
}

# candidate_version SUITE PACKAGE
candidate_version() {
  apt-cache --config-file "$scratch/$1/apt.conf" show --no-all-versions "$2" \
    2>/dev/null | sed -n 's/^Version: //p'
}

# fetch_closure SUITE PACKAGE: with all that it depends on, into
# $scratch/SUITE/cache/archives.
fetch_closure() {
  private_apt "$1" install --download-only "$2"
}

# fetch_proto SUITE: extracts rpc.proto to $scratch/SUITE/rpc.proto.
fetch_proto() {
  local dir=$scratch/$1
  (cd "$dir/download" && private_apt "$1" download libcriu-dev) || return
  dpkg-deb --fsys-tarfile "$dir"/download/libcriu-dev_*.deb |
    tar --extract --to-stdout ./usr/include/criu/rpc.proto >"$dir/rpc.proto"
}

# --- The prefix ------------------------------------------------------------

# write_wrapper PREFIX: starts the program with its own loader and libraries.
# Unlike a library path in the environment this does not leak into what CRIU
# starts.  It names the prefix, not the link to it, lest the loader of one
# prefix meets the libraries of the next.
write_wrapper() {
  local libraries=$1/usr/lib/x86_64-linux-gnu
  cat >"$1/bin/criu" <<END || return
#!/bin/sh
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries --argv0 criu $1/usr/sbin/criu "\$@"
END
  chmod 755 "$1/bin/criu"
}

# replace_link TARGET LINK: rename is atomic, ln --force is not.
replace_link() {
  ln --symbolic --force --no-dereference "$1" "$2.new"
  mv --no-target-directory "$2.new" "$2"
}

# unpack SUITE VERSION: makes a prefix, beside the one in use, and sets prefix.
unpack() {
  local deb
  mkdir -p "$ckpt_root/bin" || return
  prefix=$(mktemp -d "$ckpt_root/criu-$2.XXXXXX") || return
  for deb in "$scratch/$1"/cache/archives/*.deb; do
    dpkg-deb --extract "$deb" "$prefix" || return
  done
  chmod 755 "$prefix"
  mkdir -p "$prefix/bin" "$prefix/include/criu" &&
    write_wrapper "$prefix" &&
    install --mode=644 "$scratch/$1/rpc.proto" "$prefix/include/criu/rpc.proto"
}

# Makes $prefix the one in use.  Whoever interrupts this keeps the old one.
switch_prefix() {
  local old
  old=$(readlink --canonicalize "$ckpt_root/criu" || true)
  replace_link "$(basename "$prefix")" "$ckpt_root/criu"
  replace_link ../criu/bin/criu "$ckpt_root/bin/criu"
  # Earlier prefixes, and halves that a killed run left behind.  The one that
  # was in use until now stays for those who are just starting it.
  find "$ckpt_root" -maxdepth 1 -type d -name 'criu-*' ! -path "$prefix" \
    ! -path "$old" -exec rm -rf {} +
}

# prefix_from SUITE: makes a prefix with a CRIU that works, and sets prefix.  On
# failure says why in suite_reason.
prefix_from() {
  local suite=$1 version
  prefix=
  if ! prepare_private_apt "$suite"; then
    suite_reason="cannot read its package list: $(apt_reason)"
    return 1
  fi
  version=$(candidate_version "$suite" criu)
  if ! at_least "$version" "$criu_minimum"; then
    suite_reason="${version:-no CRIU there}, ckpt needs $criu_minimum or newer"
    return 1
  elif at_least "$(uname -r)" "$strict_sockets_linux" &&
    ! at_least "$version" "$strict_sockets_criu"; then
    suite_reason="$version, passed over: cannot dump inet sockets on"
    suite_reason+=" Linux $strict_sockets_linux or newer"
    return 1
  elif ! fetch_closure "$suite" criu || ! fetch_proto "$suite"; then
    suite_reason="$version, cannot be downloaded: $(apt_reason)"
    return 1
  fi
  if ! unpack "$suite" "$version" 2>>"$log_file"; then
    suite_reason="$version, cannot be unpacked: $(tail -n 1 "$log_file")"
  elif ! criu_works "$prefix/bin/criu"; then
    suite_reason="$version, $criu_reason"
  else
    return 0
  fi
  [[ -z $prefix ]] || rm -rf "$prefix"
  return 1
}

install_criu() {
  local start=$SECONDS suite suite_reason prefix
  report criu "$1; fetching one of a newer Debian"
  for suite in "${criu_suites[@]}"; do
    if prefix_from "$suite"; then
      switch_prefix
      remember_criu_works "$ckpt_root/bin/criu"
      ((${#suite_reasons[@]} == 0)) ||
        report criu "not the one of Debian" "${suite_reasons[@]}"
      report criu "$(criu_version "$ckpt_root/bin/criu") of Debian $suite" \
        "installed in $ckpt_root in $((SECONDS - start)) s, dumps and restores"
      return
    fi
    suite_reasons+=("$suite: $suite_reason")
  done
  refuse criu "found none that works on kernel $(uname -r):" \
    "$(printf '%s | ' "${suite_reasons[@]}")log: $log_file"
}

# --- The RPC messages ------------------------------------------------------

# The build reads them from where they do not move with the version of CRIU.
# Rewritten only if they differ, as that makes the build do much again.
setup_proto() {
  local target=$ckpt_root/include/criu/rpc.proto
  local source=$ckpt_root/criu/include/criu/rpc.proto suite
  if [[ ! -s $source ]]; then
    # Of an earlier set-up, or there is no prefix but a CRIU of the user's.
    [[ ! -s $target ]] || return 0
  elif cmp --quiet "$source" "$target"; then
    return
  fi
  if "$check_only"; then
    refuse proto "$target is missing or of another CRIU"
    return
  fi
  if [[ ! -s $source ]]; then
    suite=${criu_suites[0]}
    prepare_private_apt "$suite" && fetch_proto "$suite" ||
      refuse proto "cannot download libcriu-dev of Debian $suite:" \
        "$(apt_reason) (log: $log_file)"
    source=$scratch/$suite/rpc.proto
  fi
  mkdir -p "$ckpt_root/include/criu"
  install --mode=644 "$source" "$target.new"
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
  elif criu_known_to_work "$1"; then
    report criu "$version at $1, known to dump and restore"
    return
  elif ! criu_works "$1"; then
    criu_reason="$1 ($version) does not work: $criu_reason"
  else
    "$check_only" || remember_criu_works "$1"
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
