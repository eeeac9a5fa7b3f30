# shellcheck shell=bash disable=SC2154
# Where quickstart's job runs: three nodes on this machine, two cgroups, and
# what is needed to be rid of them.  Sourced by quickstart, which sets
# $ckpt_node and $scratch.

readonly group_name=ckpt-quickstart

job=
nodes_pid=
client_pid=
group=

# --- Commands that a signal ends at once -----------------------------------

# run_job COMMAND...: bash would not heed a signal before the command's end;
# it does while it waits.  Job control gives the command a process group of its
# own, and spares it the ignored Ctrl-C of other background commands.
run_job() {
  local status=0
  set -m
  "$@" </dev/null &
  job=$!
  set +m
  wait "$job" || status=$?
  job=
  return "$status"
}

# stop_group_of PID: ends what run_job and its like have started.
stop_group_of() {
  local tries
  kill -TERM -- "-$1" 2>/dev/null || return 0
  for ((tries = 0; tries < 100; tries++)); do
    kill -0 -- "-$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL -- "-$1" 2>/dev/null || true
}

# --- Cgroups ---------------------------------------------------------------

# Makes the directory for the job's groups, and prints it: in the v2 hierarchy
# if that can freeze, else in that of the v1 freezer.
make_group_directory() {
  local parent directory
  while read -r parent; do
    directory=$parent/$group_name
    mkdir -p "$directory"
    if [[ -e $directory/cgroup.freeze || -e $directory/freezer.state ]]; then
      echo "$directory"
      return
    fi
    rmdir "$directory"
  done < <(
    findmnt --noheadings --output TARGET --types cgroup2
    findmnt --noheadings --output TARGET --types cgroup --options freezer
  )
  fail "no cgroup hierarchy with a freezer is mounted"
}

# Makes the groups, and locks them against a second quickstart.
make_groups() {
  local directory
  directory=$(make_group_directory)
  exec {group_fd}<"$directory"
  flock --nonblock "$group_fd" ||
    fail "another quickstart is running; wait for it"
  group=$directory
  # Of a run that was killed.
  empty_group
  mkdir -p "$group"/node{1,2}
}

groups() {
  find "$group" -depth -type d 2>/dev/null || true
}

# Thaws and kills everything in the groups: a frozen task of a v1 group does
# not die.
empty_group() {
  local directory pids tries
  for ((tries = 0; tries < 100; tries++)); do
    pids=
    while read -r directory; do
      echo THAWED 2>/dev/null >"$directory/freezer.state" || true
      echo 0 2>/dev/null >"$directory/cgroup.freeze" || true
      pids+=" $(cat "$directory/cgroup.procs")"
    done < <(groups)
    # shellcheck disable=SC2086 # a list; 0 is one we cannot name
    set -- ${pids// 0 / }
    (($# > 0)) || return 0
    kill -KILL "$@" 2>/dev/null || true
    sleep 0.05
  done
}

remove_groups() {
  local directory
  [[ -n $group ]] || return 0
  empty_group
  while read -r directory; do
    rmdir "$directory" || true
  done < <(groups)
}

# --- Nodes -----------------------------------------------------------------

# The nodes die with their maker, and it with us, even if we are killed.
make_nodes() {
  local tries said=
  : >"$scratch/nodes"
  set -m
  setpriv --pdeathsig TERM "$ckpt_node" up 3 </dev/null >"$scratch/nodes" &
  nodes_pid=$!
  set +m
  for ((tries = 0; tries < 200; tries++)); do
    read -r said <"$scratch/nodes" || true
    if [[ $said == "ready $nodes_pid" ]]; then
      export CKPT_NODE_MAKER=$nodes_pid
      return
    fi
    kill -0 "$nodes_pid" 2>/dev/null || break
    sleep 0.05
  done
  fail "cannot make the nodes"
}

remove_nodes() {
  [[ -n $nodes_pid ]] || return 0
  kill -TERM "$nodes_pid" 2>/dev/null || true
  wait "$nodes_pid" || true
}

# on NODE COMMAND...: runs a command in a node.
on() {
  run_job "$ckpt_node" exec "$@"
}

# start_on NODE GROUP PROGRAM ARGUMENT...: starts a job in a group, and prints
# its pid in the node.
start_on() {
  local node=$1 directory=$2
  shift 2
  # shellcheck disable=SC2016 # for the other shell
  "$ckpt_node" start "$node" /bin/bash -c \
    'echo 0 >"$1/cgroup.procs" && cd / && exec "${@:2}"' \
    start "$directory" "$@"
}

# start_logged NODE FILE PROGRAM ARGUMENT...: starts a program that prints to
# FILE.
start_logged() {
  local node=$1 file=$2
  shift 2
  # shellcheck disable=SC2016 # for the other shell
  "$ckpt_node" start "$node" /bin/bash -c 'exec "${@:2}" >"$1" 2>&1' \
    start "$file" "$@" >/dev/null
}

# --- The client ------------------------------------------------------------

# start_client ADDRESS PORT: see client.py.
start_client() {
  set -m
  coproc CLIENT {
    exec "$ckpt_node" exec 3 /usr/bin/python3 "$self_dir/client.py" "$@"
  }
  client_pid=$CLIENT_PID
  set +m
  exec {to_client}>&"${CLIENT[1]}" {from_client}<&"${CLIENT[0]}"
}

# ask_client COMMAND: leaves its answer in $answer, by name.
ask_client() {
  local name value
  answer=()
  echo "$1" >&"$to_client" 2>/dev/null || true
  while read -r -t 90 name value <&"$from_client"; do
    [[ -n $name ]] || return 0
    answer[$name]=$value
  done
  fail "the client has ended: ${answer[error]:-no reason given}"
}

# --- The end ---------------------------------------------------------------

clean_up() {
  trap '' INT TERM HUP
  [[ -z $job ]] || stop_group_of "$job"
  [[ -z $client_pid ]] || stop_group_of "$client_pid"
  remove_groups
  remove_nodes
  [[ -z $scratch ]] || rm -rf "$scratch"
}
