# shellcheck shell=bash disable=SC2154
# What the machine itself has to bring: root, Debian 12, a kernel with
# checkpoint/restore and a mounted freezer.  Sourced by tools/setup.

# Options that dumping and restoring cannot do without.
readonly kernel_options=(
  CHECKPOINT_RESTORE CGROUPS NAMESPACES PID_NS NET_NS UTS_NS IPC_NS
  UNIX_DIAG INET_DIAG INET_TCP_DIAG INET_UDP_DIAG PACKET_DIAG NETLINK_DIAG
  EPOLL EVENTFD TIMERFD FHANDLE INOTIFY_USER MEMFD_CREATE PROC_PAGE_MONITOR
)

check_host() {
  check_root
  check_distribution
  check_kernel
  check_freezer
  report_capability
}

check_root() {
  ((EUID == 0)) || refuse user "not root; run: sudo tools/setup"
}

check_distribution() {
  local id version architecture
  id=$(. /etc/os-release && echo "${ID:-unknown}")
  version=$(. /etc/os-release && echo "${VERSION_ID:-unknown}")
  architecture=$(dpkg --print-architecture 2>/dev/null || uname -m)
  if [[ $id != debian || $version != 12 ]]; then
    refuse system "this is $id $version; ckpt is built and tested on" \
      "Debian 12 only"
  elif [[ $architecture != amd64 ]]; then
    refuse system "this is $architecture; ckpt supports amd64 only," \
      "arm64 has not been tried"
  else
    report system "Debian 12, $architecture, kernel $(uname -r)"
  fi
}

# Prints the kernel's build configuration, fails if it is nowhere to be read.
kernel_config() {
  if [[ -r /proc/config.gz ]]; then
    gzip -dc /proc/config.gz
  elif [[ -r /boot/config-$(uname -r) ]]; then
    cat "/boot/config-$(uname -r)"
  else
    return 1
  fi
}

# Prints the needed options that a configuration on stdin lacks.  A module
# counts: the kernel loads the socket ones by itself when they are asked for.
options_not_in_config() {
  awk -v wanted="${kernel_options[*]}" '
    /=[ym]$/ { sub(/^CONFIG_/, ""); sub(/=.*/, ""); has[$0] = 1 }
    END {
      n = split(wanted, option, " ")
      for (i = 1; i <= n; i++)
        if (!(option[i] in has)) print "CONFIG_" option[i]
    }'
}

# The same without a configuration: by the files that an option brings with
# it.  The rest is left to `criu check`, which tries what it needs.
options_not_seen() {
  # Compiled only with CHECKPOINT_RESTORE, as it exists for restoring.
  [[ -e /proc/sys/kernel/ns_last_pid ]] || echo CONFIG_CHECKPOINT_RESTORE
  [[ -e /proc/self/cgroup ]] || echo CONFIG_CGROUPS
  [[ -d /proc/self/ns ]] || echo CONFIG_NAMESPACES
  [[ -e /proc/self/ns/pid ]] || echo CONFIG_PID_NS
  [[ -e /proc/self/ns/net ]] || echo CONFIG_NET_NS
  [[ -e /proc/self/ns/uts ]] || echo CONFIG_UTS_NS
  [[ -e /proc/self/ns/ipc ]] || echo CONFIG_IPC_NS
  [[ -e /proc/self/pagemap ]] || echo CONFIG_PROC_PAGE_MONITOR
  [[ -e /proc/sys/fs/epoll ]] || echo CONFIG_EPOLL
  [[ -e /proc/sys/fs/inotify ]] || echo CONFIG_INOTIFY_USER
}

check_kernel() {
  local missing config
  if config=$(kernel_config); then
    missing=$(options_not_in_config <<<"$config")
  else
    missing=$(options_not_seen)
  fi
  [[ -z $missing ]] ||
    refuse kernel "$(uname -r) was built without" "${missing//$'\n'/ }"
}

# freezer_mounts: "v1 PATH" and "v2 PATH" of every freezer that is mounted
# and writable.
freezer_mounts() {
  local kernel_major kernel_minor
  IFS=.- read -r kernel_major kernel_minor _ < <(uname -r)
  # In mountinfo the part behind " - " is: type, source, options.
  awk -v has_v2_freezer=$((kernel_major * 1000 + kernel_minor >= 5002)) '
    {
      for (i = 7; $i != "-"; i++);
      type = $(i + 1); options = "," $6 "," $(i + 3) ","
    }
    options ~ /,ro,/ { next }
    type == "cgroup" && options ~ /,freezer,/ { print "v1", $5 }
    type == "cgroup2" && has_v2_freezer { print "v2", $5 }
  ' /proc/self/mountinfo
}

check_freezer() {
  local mounts
  mounts=$(freezer_mounts)
  if [[ -n $mounts ]]; then
    report freezer "${mounts//$'\n'/, }"
    return
  fi
  refuse freezer "neither a cgroup v2 nor a v1 freezer is mounted writable;" \
    "mount one: mkdir -p /sys/fs/cgroup/unified &&" \
    "mount -t cgroup2 none /sys/fs/cgroup/unified" \
    "(v1: mkdir -p /sys/fs/cgroup/freezer &&" \
    "mount -t cgroup -o freezer none /sys/fs/cgroup/freezer)"
}

# Not a reason to refuse: jobs of root work without it.
report_capability() {
  local capabilities
  capabilities=$(awk '$1 == "CapEff:" { print $2 }' /proc/self/status)
  # CAP_SYS_RESOURCE is number 24.
  if ((EUID == 0 && (16#$capabilities >> 24 & 1) == 0)); then
    report note "root has no CAP_SYS_RESOURCE here, so CRIU cannot dump" \
      "processes of other users"
  fi
}
