# shellcheck shell=bash disable=SC2154
# Does a CRIU work on this kernel?  Sourced by tools/setup.
#
# Asked by dumping and restoring two processes: one with nothing but memory,
# one with TCP sockets.  `criu check` does not tell: CRIU before 4.2 passes it
# on Linux 6.16 and newer, and then fails at any inet socket.

# Part of the stamp, to be raised whenever the probe asks for more.
readonly probe_number=2

# A listening socket and a connection to it, both ends in this process.  After
# SIGUSR1 it tells by its name whether both still work.  In Perl because every
# Debian has it.
# shellcheck disable=SC2016 # the variables are Perl's
readonly tcp_sample='
  use strict;
  use Socket;
  alarm 600;
  my $asked = 0;
  $SIG{USR1} = sub { $asked = 1 };
  sub tcp { socket(my $new, PF_INET, SOCK_STREAM, 0) or die; return $new }
  my ($listener, $near) = (tcp(), tcp());
  bind($listener, sockaddr_in(0, INADDR_LOOPBACK)) or die;
  listen($listener, 4) or die;
  connect($near, getsockname($listener)) or die;
  accept(my $far, $listener) or die;
  $0 = "tcp-connected";
  sleep 1 until $asked;
  syswrite($near, "a") == 1 && sysread($far, $_, 1) == 1 or die;
  syswrite($far, "b") == 1 && sysread($near, $_, 1) == 1 or die;
  connect(my $late = tcp(), getsockname($listener)) or die;
  accept(my $accepted, $listener) or die;
  $0 = "tcp-answered";
  sleep 600;
'

sample_pid=
network_pid=
# What to put before a command to have it run in the network.
in_network=()
criu_reason=

# wait_for COMMAND...: polls for up to five seconds.
wait_for() {
  local tries
  for ((tries = 0; tries < 500; tries++)); do
    "$@" && return
    sleep 0.01
  done
  return 1
}

# --- The processes ---------------------------------------------------------

# exec_alone COMMAND...: becomes the command, with nothing open that could not
# be dumped: a session of its own and no descriptors of whoever called this
# script.
exec_alone() {
  local fd
  cd /
  for fd in /proc/"$BASHPID"/fd/*; do
    ((${fd##*/} <= 2)) || eval "exec ${fd##*/}>&-"
  done
  exec setsid "$@"
}

# start_sample NAME COMMAND...: NAME is what it is called when it is ready.
start_sample() {
  (exec_alone "${in_network[@]}" "${@:2}") </dev/null >/dev/null 2>&1 &
  sample_pid=$!
  # Else the shell announces its death.
  disown
  wait_for process_is "$sample_pid" "$1"
}

# process_is PID NAME
process_is() {
  [[ $(cat "/proc/$1/comm" 2>/dev/null) == "$2" ]]
}

process_gone() {
  [[ ! -d /proc/$1 ]]
}

stop_sample() {
  [[ -z $sample_pid ]] || kill -KILL "$sample_pid" 2>/dev/null || true
  sample_pid=
}

# The sockets get a network of their own.  With it goes, however the probe
# ends, what CRIU puts into the firewall to hold back packets in between.
start_network() {
  (exec_alone unshare --net sh -c 'ip link set lo up && exec sleep 600') \
    </dev/null >/dev/null 2>&1 &
  network_pid=$!
  disown
  in_network=(nsenter "--net=/proc/$network_pid/ns/net" --)
  wait_for process_is "$network_pid" sleep
}

stop_network() {
  [[ -z $network_pid ]] || kill -KILL "$network_pid" 2>/dev/null || true
  network_pid=
  in_network=()
}

stop_probe() {
  stop_sample
  stop_network
}

# --- CRIU ------------------------------------------------------------------

# The last errors in CRIU's logs, in one line.  The one about RLIMIT_NOFILE is
# in every log of a machine without CAP_SYS_RESOURCE and harms nobody.
criu_errors() {
  local errors
  errors=$(grep -h 'Error' "$@" 2>/dev/null |
    grep -v "Can't setup RLIMIT_NOFILE for self" |
    sed 's/^([0-9.]*) *//' | tail -n 3 | paste -s -d ';') || true
  echo "${errors:-it failed or hung for a minute without naming an error}"
}

# run_criu CRIU LOG ARGUMENT...: a hanging CRIU must not hang us.
run_criu() {
  "${in_network[@]}" timeout --kill-after=5 60 "$1" "${@:3}" \
    >"$2" 2>&1 </dev/null
}

# round_trip CRIU NAME OPTION...: dumps the sample of that name and restores
# it.  On failure the reason is in criu_reason.
round_trip() {
  local criu=$1 name=$2 images
  images=$(mktemp -d "$scratch/images.XXXXXX")
  local common=(--images-dir "$images" --manage-cgroups=ignore -v4 "${@:3}")
  if ! run_criu "$criu" "$images/dump" dump "${common[@]}" \
    --tree "$sample_pid" --log-file dump.log; then
    criu_reason="criu dump: $(criu_errors "$images"/dump*)"
    return 1
  fi
  # Until the shell has reaped it, its number is taken.
  wait_for process_gone "$sample_pid" || true
  if ! run_criu "$criu" "$images/restore" restore "${common[@]}" \
    --restore-detached --log-file restore.log; then
    criu_reason="criu restore: $(criu_errors "$images"/restore*)"
    return 1
  fi
  process_is "$sample_pid" "$name" && return
  criu_reason="criu restore: reported success, but no process is there"
  return 1
}

check_works() {
  local log=$scratch/check
  run_criu "$1" "$log" check && return
  criu_reason="criu check: $(criu_errors "$log")"
  return 1
}

memory_works() {
  if ! start_sample sleep sleep 600; then
    criu_reason="cannot start a process to try it on"
    return 1
  fi
  round_trip "$1" sleep
}

tcp_works() {
  if ! start_network; then
    criu_reason="cannot make a network with iproute2 to try it in"
    return 1
  elif ! start_sample tcp-connected perl -e "$tcp_sample"; then
    criu_reason="cannot open TCP connections to try it on"
    return 1
  elif ! round_trip "$1" tcp-connected --tcp-established \
    --network-lock nftables; then
    criu_reason="TCP sockets: $criu_reason"
    return 1
  fi
  kill -USR1 "$sample_pid"
  wait_for process_is "$sample_pid" tcp-answered && return
  criu_reason="TCP sockets: restored, but they carry no data"
  return 1
}

# criu_works CRIU: on failure the reason is in criu_reason.
criu_works() {
  local works=false
  criu_reason=
  if check_works "$1" && memory_works "$1" && stop_sample &&
    tcp_works "$1"; then
    works=true
  fi
  stop_probe
  "$works"
}

# --- Remembering -----------------------------------------------------------

# probe_stamp CRIU: what the result depends on.  One of ours is a wrapper, so
# the program behind it counts as well.
probe_stamp() {
  local file sum
  file=$(readlink --canonicalize "$1")
  sum=$(cat "$file" "${file%/bin/*}/usr/sbin/criu" 2>/dev/null | sha256sum)
  echo "$probe_number $(uname -r -v) ${sum%% *} $file"
}

# criu_known_to_work CRIU: so it did, with this kernel.
criu_known_to_work() {
  [[ $(cat "$ckpt_root/probed" 2>/dev/null) == "$(probe_stamp "$1")" ]]
}

remember_criu_works() {
  mkdir -p "$ckpt_root"
  probe_stamp "$1" >"$ckpt_root/probed.new"
  mv "$ckpt_root/probed.new" "$ckpt_root/probed"
}
