# shellcheck shell=bash
# Steps whose results are kept, by the content of what they are made from. To be sourced by scripts
# that set $root to the clone.

readonly CACHE=${root:?}/build/cache
# Of each step, so that going back and forth between two branches stays quick.
readonly CACHE_KEEPS=3

# Prints a digest of files and folders: names, modes and contents. What depends on more adds it in
# the environment variable `also`.
digest_of() {
  {
    printf '%s\n' "${also-}"
    find "$@" \( -type f -o -type l \) -printf '%m %p %l\0' | LC_ALL=C sort -z
    find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 --no-run-if-empty sha256sum
  } | sha256sum | cut -c 1-16
}

# key_of FUNCTION TEXT...: prints a digest of how a step works and of what it works on.
key_of() {
  { declare -f "$1" && printf '%s\n' "${@:2}"; } | sha256sum | cut -c 1-16
}

# cached NAME KEY COMMAND...: puts into $cached the folder of step NAME for KEY. Where it is not there
# yet, COMMAND makes it: called with a folder to fill as its last argument. A step that fails or is
# killed leaves nothing; of several at once one works while the others wait.
cached() {
  local name=$1 key=$2
  shift 2
  cached=$CACHE/$name-$key
  mkdir -p -- "$CACHE"
  local lock
  exec {lock}>"$CACHE/$name.lock"
  flock "$lock"
  if [[ ! -d $cached ]]; then
    echo "$(basename -- "$0"): $name" >&2
    local began=$SECONDS
    # What a killed run left: nobody else works on this step while we hold the lock.
    rm -rf -- "$CACHE/$name.making"
    mkdir -- "$CACHE/$name.making"
    # A subshell with its own `set -e`, and not part of a condition, where bash ignores it. The lock
    # is not for what the step starts.
    (
      exec {lock}>&-
      set -euo pipefail
      "$@" "$CACHE/$name.making"
    )
    mv -- "$CACHE/$name.making" "$cached"
    echo "$(basename -- "$0"): $name took $((SECONDS - began)) s" >&2
  fi
  touch -- "$cached"
  # The names are ours and have no blanks.
  # shellcheck disable=SC2012
  ls -dt -- "$CACHE/$name"-[0-9a-f]* | tail -n "+$((CACHE_KEEPS + 1))" | xargs --no-run-if-empty rm -rf --
  exec {lock}>&-
}
