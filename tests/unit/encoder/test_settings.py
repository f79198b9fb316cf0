"""Every variable of the encoder is read, and a bad value is refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from services.common.settings import SettingError
from services.encoder.settings import EncoderSettings

# Variable: field, a good value, what it becomes, bad values, a part of what is expected.
VARIABLES: dict[str, tuple[str, str, Any, tuple[str, ...], str]] = {
    "HEROSERVE_MODEL": ("model", " llava-hf/x ", "llava-hf/x", (), ""),
    "HEROSERVE_REVISION": ("revision", " v1.0 ", "v1.0", (), ""),
    "HEROSERVE_DTYPE": ("dtype", "bfloat16", "bfloat16", ("float64", "BFLOAT16"), "float32"),
    "HEROSERVE_DEVICE": ("device", "cpu", "cpu", ("tpu", "cuda:0"), "auto, cpu, cuda"),
    "HEROSERVE_HTTP_HOST": ("host", "127.0.0.1", "127.0.0.1", (), ""),
    "HEROSERVE_GRPC_PORT": ("grpc_port", "9999", 9999, ("0", "65536", "x", "-1", "1.5"), "1 to 65535"),
    "HEROSERVE_HTTP_PORT": ("http_port", "9999", 9999, ("0", "65536", "http"), "1 to 65535"),
    "HEROSERVE_METRICS_PORT": ("metrics_port", "9999", 9999, ("0", "65536", "x"), "1 to 65535"),
    "HEROSERVE_RAY_METRICS_PORT": ("ray_metrics_port", "9999", 9999, ("0", "65536", "x"), "1 to 65535"),
    "HEROSERVE_METRICS_DIR": ("metrics_dir", "/tmp/x", "/tmp/x", (), ""),
    "HEROSERVE_API_KEYS": ("api_keys", " one, two", ("one", "two"), (), ""),
    "HEROSERVE_KEY_RATE": ("key_rate", "10", 10.0, ("-1", "x"), "[0, 1e+06]"),
    "HEROSERVE_KEY_CONCURRENCY": ("key_concurrency", "1", 1, ("-1", "x"), "0 to 1000000"),
    "HEROSERVE_REQUEST_TIMEOUT_S": ("request_timeout_s", "2.5", 2.5, ("0", "-1", "inf", "nan", "3601"), "(0, 3600]"),
    "HEROSERVE_MIN_REPLICAS": ("min_replicas", "1", 1, ("0", "x", "1001"), "1 to 1000"),
    "HEROSERVE_MAX_REPLICAS": ("max_replicas", "7", 7, ("0", "x", "1001"), "1 to 1000"),
    "HEROSERVE_UPSCALE_DELAY_S": ("upscale_delay_s", "1.5", 1.5, ("-1", "x", "86401"), "[0, 86400]"),
    "HEROSERVE_DOWNSCALE_DELAY_S": ("downscale_delay_s", "0", 0.0, ("-1", "x", "86401"), "[0, 86400]"),
    "HEROSERVE_MAX_ONGOING_REQUESTS": ("max_ongoing_requests", "9", 9, ("0", "x", "10001"), "1 to 10000"),
    "HEROSERVE_MAX_QUEUED_REQUESTS": ("max_queued_requests", "9", 9, ("-2", "x", "100001"), "to 100000"),
    "HEROSERVE_MAX_QUEUED_BYTES": ("max_queued_bytes", "9", 9, ("0", "x"), "1 to 1099511627776"),
    "HEROSERVE_MAX_WAIT_S": ("max_wait_s", "0", 0.0, ("-1", "x", "3601"), "[0, 3600]"),
    "HEROSERVE_REPLICA_CPUS": ("replica_cpus", "0.5", 0.5, ("0", "x", "1025"), "[0.0001, 1024]"),
    "HEROSERVE_REPLICA_GPUS": ("replica_gpus", "0.5", 0.5, ("0", "x", "65"), "[0.0001, 64]"),
    "HEROSERVE_LOG_LEVEL": ("log_level", "DEBUG", "DEBUG", ("debug", "ALL"), "DEBUG, INFO"),
    "HEROSERVE_LOG_FORMAT": ("log_format", "text", "text", ("TEXT", "plain"), "auto, json, text"),
    "HEROSERVE_LOG_FILE": ("log_file", "/tmp/x", "/tmp/x", (), ""),
    "HEROSERVE_RELEVANCE_REVISION": ("relevance_revision", " main", "main", (), ""),
    "HEROSERVE_RELEVANCE_MODEL": ("relevance_model", "openai/x", "openai/x", (), ""),
    "HEROSERVE_CACHE_URL": ("cache_url", "redis://h:1/0", "redis://h:1/0", (), ""),
    "HEROSERVE_CACHE_USERNAME": ("cache_username", " u ", "u", (), ""),
    "HEROSERVE_CACHE_PASSWORD": ("cache_password", " p#/?@ \n", " p#/?@ ", (), ""),
    "HEROSERVE_CACHE_SENTINEL_PASSWORD": ("cache_sentinel_password", "pw", "pw", (), ""),
    "HEROSERVE_CACHE_KEY": ("cache_key", " 0123456789abcdef ", "0123456789abcdef", (), ""),
    "HEROSERVE_CACHE_SCOPE": ("cache_scope", "shared", "shared", ("tenant", "KEY"), "key, shared"),
    "HEROSERVE_CACHE_TTL_S": ("cache_ttl_s", "60", 60, ("0", "1.5", "x", "31536001"), "1 to 31536000"),
    "HEROSERVE_CACHE_TIMEOUT_S": ("cache_timeout_s", "0.5", 0.5, ("0", "61", "x"), "(0, 60]"),
    "HEROSERVE_CACHE_MEMORY_BYTES": ("cache_memory_bytes", "2000000", 2_000_000, ("1", "1GB"), "1048576 to"),
    "HEROSERVE_CACHE_NEAR_BYTES": ("cache_near_bytes", "0", 0, ("-1", "1GB"), "0 to 1099511627776"),
    "HEROSERVE_CACHE_DEPTH": ("cache_depth", "0.5", 0.5, ("0", "1.1", "nan", "x"), "(0, 1]"),
    "HEROSERVE_RETENTION": ("retention", "0.5", 0.5, ("0", "1.1", "nan", "-1", "20%"), "(0, 1]"),
    "HEROSERVE_ROW_DTYPE": ("row_dtype", "int8", "int8", ("float16", "INT8"), "native, int8"),
    "HEROSERVE_HERO": ("hero", "reference", "reference", ("authors",), "default, paper, reference"),
    "HEROSERVE_MAX_IMAGE_BYTES": ("max_image_bytes", "1000", 1000, ("0", "20MB", "62914561"), "1 to 62914560"),
    "HEROSERVE_MAX_IMAGE_PIXELS": ("max_image_pixels", "1000", 1000, ("0", "1e6"), "1 to 1073741824"),
    "HEROSERVE_MAX_BATCH_TILES": ("max_batch_tiles", "64", 64, ("0", "4097"), "1 to 4096"),
    "HEROSERVE_TARGET_TILES": ("target_tiles", "9", 9, ("-1", "x", "1000001"), "0 to 1000000"),
    "HEROSERVE_DECODE_WORKERS": ("decode_workers", "3", 3, ("0", "x", "65"), "1 to 64"),
    "HEROSERVE_DECODE_TIMEOUT_S": ("decode_timeout_s", "2.5", 2.5, ("0", "nan", "3601"), "[0.1, 3600]"),
    "HEROSERVE_DECODE_MEMORY_BYTES": ("decode_memory_bytes", "134217728", 1 << 27, ("1", "x"), "from 134217728 to"),
    "HEROSERVE_MAX_QUEUED_MISSES": ("max_queued_misses", "9", 9, ("0", "x", "100001"), "1 to 100000"),
    "HEROSERVE_MAX_QUEUED_MISS_BYTES": ("max_queued_miss_bytes", "1048576", 1 << 20, ("1", "x"), "from 1048576 to"),
    "HEROSERVE_BATCH_WAIT_S": ("batch_wait_s", "0", 0.0, ("-1", "11", "nan"), "[0, 10]"),
}
BAD = [(variable, value) for variable, row in VARIABLES.items() for value in row[3]]


def test_all_variables_are_tried() -> None:
    fields = {field.metadata["variable"]: field.name for field in dataclasses.fields(EncoderSettings)}
    assert fields == {variable: row[0] for variable, row in VARIABLES.items()}


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_good_value_sets_its_field_and_no_other(variable: str) -> None:
    field, raw, value, _, _ = VARIABLES[variable]
    settings = EncoderSettings.from_env({variable: raw})
    assert getattr(settings, field) == value
    default = EncoderSettings()
    others = {name for name in vars(default) if getattr(settings, name) != getattr(default, name)}
    assert others <= {field}


@pytest.mark.parametrize(("variable", "value"), BAD)
def test_a_bad_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        EncoderSettings.from_env({variable: value})
    assert str(caught.value).startswith(f"{variable}={value!r}: expected ")
    assert VARIABLES[variable][4] in str(caught.value)


@pytest.mark.parametrize("variable", VARIABLES)
def test_blank_means_the_default(variable: str) -> None:
    assert EncoderSettings.from_env({variable: "  "}) == EncoderSettings()


def test_defaults() -> None:
    settings = EncoderSettings.from_env({"UNRELATED": "x"})
    assert (settings.grpc_port, settings.http_port, settings.metrics_port) == (9000, 8000, 9100)
    assert settings.cache_url == "memory://"
    assert settings.retention == 0.2
    assert settings.api_keys == ()


def test_the_edges_are_accepted() -> None:
    settings = EncoderSettings.from_env(
        {"HEROSERVE_RETENTION": "1", "HEROSERVE_CACHE_DEPTH": "1", "HEROSERVE_GRPC_PORT": "65535"}
    )
    assert (settings.retention, settings.cache_depth, settings.grpc_port) == (1.0, 1.0, 65535)


def test_fewer_replicas_at_most_than_at_least() -> None:
    with pytest.raises(SettingError, match=r"HEROSERVE_MAX_REPLICAS=2 .*HEROSERVE_MIN_REPLICAS=3"):
        EncoderSettings.from_env({"HEROSERVE_MIN_REPLICAS": "3", "HEROSERVE_MAX_REPLICAS": "2"})


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EncoderSettings().retention = 0.5  # type: ignore[misc]


def test_which_model_relevance_comes_from(tmp_path: Path) -> None:
    assert EncoderSettings(relevance_model="none").relevance is None
    assert EncoderSettings(relevance_model="a/b").relevance == "a/b"
    assert EncoderSettings(model=str(tmp_path)).relevance == "openai/clip-vit-base-patch32"
    (tmp_path / "clip").mkdir()
    assert EncoderSettings(model=str(tmp_path)).relevance == str(tmp_path / "clip")
