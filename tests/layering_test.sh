#!/bin/bash
# Holds the program's dependencies against the layers of the root BUILD.bazel.
#
# Usage: layering_test.sh GRAPH
#
# GRAPH is what `bazel query --nograph:factored --output=graph` prints.  Each
# edge is looked at by itself: as the folders below a folder are listed in
# full, a path from a lower layer to a higher one cannot but have an edge that
# is not allowed.
set -euo pipefail

# Folder -> the folders that it may use besides itself, and repositories that
# it alone may use.  Keep in step with the picture in the root BUILD.bazel.
readonly foundation='base proto'
readonly mechanisms='freezer criu store'
readonly operations='checkpoint restore'
declare -rA may_use=(
  [base]=''
  [proto]=''
  [freezer]="$foundation"
  [criu]="$foundation @criu_rpc"
  [store]="$foundation"
  [checkpoint]="$foundation $mechanisms"
  [restore]="$foundation $mechanisms"
  [run]="$foundation $mechanisms $operations"
  [node]="$foundation $mechanisms"
  [preflight]="$foundation $mechanisms $operations node"
  [migrate]="$foundation"
  [transfer]="$foundation store"
  [rpc]="$foundation transfer"
  [cli]="$foundation $mechanisms $operations run node preflight transfer rpc"
  [agent]="$foundation $mechanisms $operations run migrate node preflight transfer rpc"
  [libckpt]='proto'
)
# Repositories that not everybody may use.
readonly reserved='@criu_rpc'

# folder_of LABEL: //a/b:c -> a, @a//b:c -> @a
folder_of() {
  local label=${1#//}
  echo "${label%%[/:]*}"
}

has_word() {
  [[ " $1 " == *" $2 "* ]]
}

# edge_is_allowed FOLDER USED
edge_is_allowed() {
  [[ $1 == "$2" ]] && return
  # Build settings and stand-ins for sanitizers are below everything.
  [[ $2 == tools ]] && return
  [[ $2 == @* ]] && ! has_word "$reserved" "$2" && return
  has_word "${may_use[$1]}" "$2"
}

# Reads "FROM TO" lines, prints what is wrong.
check_edges() {
  local from to folder used
  while read -r from to; do
    [[ -n $from ]] || continue
    folder=$(folder_of "$from")
    used=$(folder_of "$to")
    if [[ ! -v may_use[$folder] ]]; then
      echo "$from: folder $folder has no place in the picture"
    elif ! edge_is_allowed "$folder" "$used"; then
      echo "$from -> $to: $folder must not use $used"
    fi
  done
}

# Prints what the picture has and the graph has not: a layer that vanished, or
# a graph that could not be read.
check_folders() {
  local folder
  for folder in "${!may_use[@]}"; do
    grep --quiet "^//${folder}[/:]" <<<"$1" ||
      echo "no target of $folder is in the graph"
  done
}

main() {
  local edges problems
  # tools/ is not part of the picture, and what points at the root package
  # only tells who may see a target.
  edges=$(sed -nE '/^ *"\/\/tools\/|-> "\/\/:/d
    s/^ *"(\/\/[^"]*)" -> "([^"]*)".*/\1 \2/p' "$1")
  problems=$(check_edges <<<"$edges" && check_folders "$edges")
  if [[ -n $problems ]]; then
    echo "$problems"
    exit 1
  fi
  echo "$(wc --lines <<<"$edges") dependencies, all of them downwards"
}

main "$@"
