# Stands in for oliver006/redis_exporter where no registry is reached: the same program, as Debian packages it.
FROM docker.io/library/redis:7-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus-redis-exporter
ENTRYPOINT ["prometheus-redis-exporter"]
