"""Capacity: replicas wanted and running, what keeps them busy, and Redis' memory."""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import FAILED, HIT, KEPT, KEYS_A_SECOND, MISS, NEUTRAL, Panel, Query
from deploy.grafana.promql import HERE, INSTALLATION, NOW

_DEPLOYMENT = "{{application}}/{{deployment}}"
_BY = "by (application, deployment)"
# Only the node of a Ray that Serve's controller runs on has these two, so the choice of instances does not apply.
# An application that was deleted stays on Ray's page, as DELETING (4).
_WANTED = (
    f"sum {_BY} (max by (application, deployment, instance) (ray_serve_autoscaling_target_replicas{{{INSTALLATION}}})"
    f" unless on (application, instance) ray_serve_application_status{{{INSTALLATION}}} == 4)"
)
_RUNNING = f"(sum {_BY} (ray_serve_deployment_replica_healthy{{{INSTALLATION}}}) or 0 * {_WANTED})"
# Of VisionTower Serve's number is passes of tiles, whatever its requests.
_AIM = f'ray_serve_autoscaling_target_ongoing_requests{{{INSTALLATION}, deployment!="VisionTower"}}'
_ONGOING = f"ray_serve_replica_processing_queries{{{HERE}}}"
_WAITING = f"ray_serve_deployment_queued_queries{{{HERE}}}"
_USED = f"redis_memory_used_bytes{{{INSTALLATION}}}"
# 0 means no limit; then there is no share of it either.
_MAXIMUM = f"redis_memory_max_bytes{{{INSTALLATION}}}"
_LIMIT = f"({_MAXIMUM} > 0)"

_TILES = (
    Panel(
        "Replicas running",
        "Healthy ones, of all deployments.",
        (Query(f"sum({_RUNNING})"),),
        kind="stat",
        width=5,
    ),
    Panel(
        "Replicas missing",
        "Wanted and not running: no room, or they do not start.",
        (Query(f"sum(clamp_min({_WANTED} - {_RUNNING}, 0))"),),
        kind="stat",
        steps=((None, "green"), (1, FAILED)),
        width=5,
    ),
    Panel("Requests under way", "Taken up by replicas, now.", (Query(f"sum({_ONGOING})"),), kind="stat", width=5),
    Panel(
        "Requests waiting",
        "In front of replicas, for one that has room, now.",
        (Query(f"sum({_WAITING})"),),
        kind="stat",
        steps=((None, "green"), (1, "yellow"), (32, FAILED)),
        width=5,
    ),
    Panel(
        "Redis memory",
        "Share of maxmemory. Full is well: it evicts what is used least.",
        (Query(f"{_USED} / {_LIMIT}"),),
        unit="percentunit",
        kind="stat",
        width=4,
    ),
)

DASHBOARD = Dashboard(
    "heroserve-capacity",
    "heroserve: capacity",
    "Replicas wanted and running, requests under way and waiting, nodes, and Redis' memory.",
    "heroserve-.*-ray",
    (
        *_TILES,
        Panel(
            "Replicas wanted and running",
            "Wanted is what the autoscaler decided, within its bounds.",
            (Query(_WANTED, f"{_DEPLOYMENT} wanted"), Query(_RUNNING, f"{_DEPLOYMENT} running")),
            dashed=" wanted$",
            decimals=0,
            many=True,
        ),
        Panel(
            "Requests under way, a replica",
            "The autoscaler aims at half of HEROSERVE_MAX_ONGOING_REQUESTS. VisionTower is scaled by tiles "
            "(HEROSERVE_TARGET_TILES), whatever its requests, and has no aim here.",
            (
                Query(f"avg {_BY} ({_ONGOING})", _DEPLOYMENT),
                Query(f"max {_BY} ({_AIM})", f"{_DEPLOYMENT} aim"),
            ),
            dashed=" aim$",
            many=True,
        ),
        Panel(
            "Requests waiting",
            "In front of replicas, and in them: for their turn (line), for the language model (engine). All replicas "
            "running and still a queue means: more of them, or a smaller budget.",
            (
                Query(f"sum {_BY} ({_WAITING})", f"{_DEPLOYMENT}, in front"),
                Query(
                    f"sum by (application, where) (label_replace(heroserve_requests_waiting{{{HERE}}}, "
                    '"application", "$1", "job", "heroserve-(.+)"))',
                    "{{application}}, {{where}}",
                ),
            ),
            many=True,
        ),
        Panel(
            "Nodes",
            "Processor and memory in use.",
            (
                Query(f"max by (instance) (ray_node_cpu_utilization{{{HERE}}}) / 100", "{{instance}} processor"),
                Query(
                    f"max by (instance) (ray_node_mem_used{{{HERE}}} / ray_node_mem_total{{{HERE}}})",
                    "{{instance}} memory",
                ),
            ),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            "Redis memory",
            "Used, and the limit (maxmemory) if it has one.",
            (Query(f"sum({_USED})", "used"), Query(f"sum({_MAXIMUM})", "limit")),
            unit="bytes",
            colors={"used": KEPT, "limit": FAILED},
            dashed="^limit$",
        ),
        Panel(
            "Redis entries that go",
            "Evicted for want of memory, and expired by HEROSERVE_CACHE_TTL_S. Many evicted, few hits: more memory.",
            (
                Query(f"sum(rate(redis_evicted_keys_total{{{INSTALLATION}}}[{NOW}]))", "evicted"),
                Query(f"sum(rate(redis_expired_keys_total{{{INSTALLATION}}}[{NOW}]))", "expired"),
            ),
            unit=KEYS_A_SECOND,
            colors={"evicted": MISS, "expired": NEUTRAL},
        ),
        Panel(
            "Redis entries",
            "Keys; an image has two.",
            (Query(f"sum(redis_db_keys{{{INSTALLATION}}})", "keys"),),
            colors={"keys": HIT},
            decimals=0,
        ),
    ),
)
