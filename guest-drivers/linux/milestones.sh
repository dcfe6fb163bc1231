# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# Shell functions that every init of the guest shares. Only shell builtins: each process started
# costs an emulated CPU millions of instructions.

# Reports a milestone on the console: "oriel: SECONDS NAME DETAIL", the time being the uptime.
say() {
  read -r say_uptime _ </proc/uptime
  echo "oriel: $say_uptime $*" >/dev/console
}

# Sets VALUE to kernel parameter $1, or to $2 when it is not given.
param() {
  value=$2
  read -r param_line </proc/cmdline
  for param_word in $param_line; do
    case $param_word in
      "$1"=*) value=${param_word#*=} ;;
    esac
  done
}

# Sets WORDS to the comma-separated list in kernel parameter $1, separated by blanks.
param_words() {
  param "$1" ''
  words=
  while [ -n "$value" ]; do
    words="$words ${value%%,*}"
    case $value in
      *,*) value=${value#*,} ;;
      *) value= ;;
    esac
  done
}

# Ends the machine after reporting exit status $1.
finish() {
  say "done $1"
  param oriel.end poweroff
  case $value in
    poweroff | reboot | halt) "$value" -f ;;
  esac
  # The parameter asked to stay up, or the machine has no way to power off.
  while sleep 3600; do :; done
}
