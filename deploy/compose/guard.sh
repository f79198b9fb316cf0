#!/bin/sh
# What every container of docker-compose.yml with a door or a secret begins with:
#   guard.sh ADDRESS REDIS_PASSWORD GRAFANA_PASSWORD COMMAND...
# It becomes the command, unless other machines get in with a password that everybody knows. Compose can't compare what it
# fills in, and podman's knows no dependency that fails; so each container looks for itself.
address=$1 redis=$2 grafana=$3
shift 3
case $address in
127.* | localhost | ::1 | '[::1]') exec "$@" ;;
esac
known=''
[ "$redis" = change-me ] && known=' REDIS_PASSWORD'
[ "$grafana" = change-me ] && known="$known GRAFANA_PASSWORD"
[ -z "$known" ] && exec "$@"
trap 'exit 1' TERM INT
echo "heroserve: BIND_ADDRESS=$address lets other machines in, and change-me is known to them: set$known (see .env)" >&2
# An end would be a start again, without end. Like this it is unhealthy, and `docker compose up --wait` fails.
while :; do sleep 1; done
