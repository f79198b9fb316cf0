"""What docker-compose.yml allows each container: memory and cores, enough for what runs in it, and to be changed."""

from __future__ import annotations

from services.common import ray_start
from tests.support.manifests import ROOT, SERVICES, SETTINGS, composition, size

# `Encoder` reserves half a core beside the tower.
_INGRESS_CPUS = 0.5


def test_every_container_has_limits_that_fit_a_laptop() -> None:
    composed = composition(COMPOSE_PROFILES="cpu")
    limits = {name: size(service["mem_limit"]) for name, service in composed.items()}
    assert sum(limits.values()) < 12 << 30
    # Docker refuses more cores than a machine has.
    assert all(0 < float(service["cpus"]) <= 2 for service in composed.values())


def test_each_limit_can_be_changed() -> None:
    names = {name.removesuffix("-gpu"): name.removesuffix("-gpu").upper().replace("-", "_") for name in composition()}
    shell = {f"{name}_MEMORY": f"{number}g" for number, name in enumerate(names.values(), start=11)}
    shell |= {f"{name}_CPUS": f"0.{number}" for number, name in enumerate(names.values(), start=11)}
    for name, service in composition(**shell).items():
        variable = names[name.removesuffix("-gpu")]
        assert service["mem_limit"] == shell[f"{variable}_MEMORY"]
        assert float(service["cpus"]) == float(shell[f"{variable}_CPUS"])


def test_what_ray_reserves_fits() -> None:
    for name, service in composition().items():
        if name.removesuffix("-gpu") in SERVICES:
            settings = SETTINGS[name.removesuffix("-gpu")]()
            assert ray_start.OBJECT_STORE_BYTES < size(service["shm_size"]) < size(service["mem_limit"]) / 4
            assert settings.min_replicas * settings.replica_cpus + _INGRESS_CPUS < float(service["cpus"])


def test_redis_has_room_for_more_than_it_may_keep() -> None:
    redis = composition()["redis"]
    kept = size(redis["command"][redis["command"].index("--maxmemory") + 1])
    assert size(redis["mem_limit"]) >= 1.5 * kept


def test_what_may_be_changed_is_told() -> None:
    """In `.env`, for each of our services and for Redis."""
    told = (ROOT / ".env").read_text()
    for variable in ("ENCODER_MEMORY", "ENCODER_CPUS", "LLM_MEMORY", "LLM_CPUS", "REDIS_MEMORY"):
        assert f"\n{variable}=\n" in told
