"""What docker-compose.yml allows each container: memory and cores, enough for what runs in it, and to be changed."""

from __future__ import annotations

from services.common import ray_start
from tests.support.manifests import CONTAINERS, ROOT, SETTINGS, composition, size

# `Encoder` reserves half a core beside the tower.
_INGRESS_CPUS = 0.5


def test_every_container_has_limits_that_fit_a_laptop() -> None:
    composed = composition(COMPOSE_PROFILES="cpu")
    limits = {name: size(service["mem_limit"]) for name, service in composed.items()}
    assert sum(limits.values()) < 12 << 30
    # Docker refuses more cores than a machine has.
    assert all(0 < float(service["cpus"]) <= 2 for service in composed.values())


def test_each_limit_can_be_changed() -> None:
    names = {name: _whose(name).upper().replace("-", "_") for name in composition()}
    distinct = dict.fromkeys(names.values())
    shell = {f"{name}_MEMORY": f"{number}g" for number, name in enumerate(distinct, start=11)}
    shell |= {f"{name}_CPUS": f"0.{number}" for number, name in enumerate(distinct, start=11)}
    for name, service in composition(**shell).items():
        variable = names[name]
        assert service["mem_limit"] == shell[f"{variable}_MEMORY"]
        assert float(service["cpus"]) == float(shell[f"{variable}_CPUS"])


def test_what_ray_reserves_fits() -> None:
    for name, service in composition().items():
        if _whose(name) in SETTINGS:
            settings = SETTINGS[_whose(name)]()
            assert ray_start.OBJECT_STORE_BYTES < size(service["shm_size"]) <= size(service["mem_limit"]) / 4
            assert settings.min_replicas * settings.replica_cpus + _INGRESS_CPUS < float(service["cpus"])


def test_redis_has_room_for_more_than_it_may_keep() -> None:
    redis = composition()["redis"]
    kept = size(redis["command"][redis["command"].index("--maxmemory") + 1])
    assert size(redis["mem_limit"]) >= 1.5 * kept


def test_what_may_be_changed_is_told() -> None:
    """In `.env`, for each of our services, for vLLM and for Redis."""
    told = (ROOT / ".env").read_text()
    bounds = [f"{name}_{what}" for name in ("ENCODER", "LLM", "VLLM") for what in ("MEMORY", "CPUS")]
    for variable in (*bounds, "REDIS_MEMORY"):
        assert f"\n{variable}=\n" in told


def _whose(name: str) -> str:
    """By whose name its limits are called."""
    for service, containers in CONTAINERS.items():
        if name in containers:
            return service
    return name.removesuffix("-cpu")
