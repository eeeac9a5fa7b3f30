# shellcheck shell=bash
# Where this machine gets Debian 12 from.  Sourced by tools/setup and
# tools/debootstrap_trial, so that neither names a host.

readonly release=bookworm

# debian_sources [APT-OPTION...]: prints "ADDRESS SUITE" for the release and
# for its updates, as apt's own sources have them.  Prints nothing before the
# first apt-get update: only the downloaded lists tell what a source that says
# "stable" or that comes from others really is.
debian_sources() {
  # shellcheck disable=SC2016 # the variables are apt's
  apt-get "$@" indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' \
    'Created-By: Packages' 'Component: main' |
    awk -v release="$release" '
      $1 == "Debian" && $2 ~ "^" release "(-updates|-security|)$" &&
      $3 !~ /^cdrom:/ && !seen[$2, $3]++ { print $3, $2 }'
}

# debian_mirror [APT-OPTION...]: prints the address of the main archive,
# which has the other releases too.
# shellcheck disable=SC2120 # the options are not needed everywhere
debian_mirror() {
  debian_sources "$@" |
    awk -v release="$release" '$2 == release { print $1; exit }'
}
