#!/bin/sh
# Programs that the tests of deploy/ run and pip does not have: Debian's, installed where this may be done. Tests that
# miss one say so and are skipped.
missing=
for program in promtool prometheus-redis-exporter; do
  command -v "$program" >/dev/null || missing=1
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "tests of Prometheus are skipped: apt-get install prometheus prometheus-redis-exporter needs root on Debian" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# Runlevel 1: their daemons are not started.
export RUNLEVEL=1
apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus prometheus-redis-exporter >/dev/null ||
  echo "tests of Prometheus are skipped: its packages could not be installed" >&2
