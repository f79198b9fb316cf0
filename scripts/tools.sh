#!/bin/sh
# Programs that tests run and pip does not have: Debian's, installed where they are missing and this may be done.
#   scripts/tools.sh PROGRAM=PACKAGE...
# Tests that miss one say so and are skipped.
programs='' packages=''
for wanted in "$@"; do
  if ! command -v "${wanted%%=*}" >/dev/null; then
    programs="$programs ${wanted%%=*}" packages="$packages ${wanted#*=}"
  fi
done
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # At runlevel 1 their daemons are not started.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  # shellcheck disable=SC2086
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null && exit 0
fi
echo "Tests that need$programs will be skipped. On Debian, as root: apt-get install$packages" >&2
