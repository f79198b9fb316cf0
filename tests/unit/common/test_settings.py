"""Settings come from HEROSERVE_* variables, each checked, each failure by the variable's name."""

from __future__ import annotations

import dataclasses

import pytest

from services.common import deployment
from services.common.known import VARIABLES
from services.common.settings import SettingError, Settings
from services.common.variable import unknown
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings

PORT = ("4711", 4711, ["0", "65536", "-1", "x", "80.5"], "a whole number from 1 to 65535")
# Variable: field, a value, what it becomes, what is refused, what is expected instead.
CASES = {
    "HEROSERVE_MODEL": ("model", " /models/x ", "/models/x", [], ""),
    "HEROSERVE_REVISION": ("revision", " v1.0 ", "v1.0", [], ""),
    "HEROSERVE_DTYPE": ("dtype", "bfloat16", "bfloat16", ["int8", "FLOAT32"], "one of auto, float32, float16, bfl"),
    "HEROSERVE_DEVICE": ("device", " cpu ", "cpu", ["gpu", "cuda:0"], "one of auto, cpu, cuda"),
    "HEROSERVE_HTTP_HOST": ("host", "127.0.0.1", "127.0.0.1", [], ""),
    "HEROSERVE_GRPC_PORT": ("grpc_port", *PORT),
    "HEROSERVE_HTTP_PORT": ("http_port", *PORT),
    "HEROSERVE_METRICS_PORT": ("metrics_port", *PORT),
    "HEROSERVE_RAY_METRICS_PORT": ("ray_metrics_port", *PORT),
    "HEROSERVE_METRICS_DIR": ("metrics_dir", "/tmp/m", "/tmp/m", [], ""),
    "HEROSERVE_API_KEYS": ("api_keys", " one, two \n", ("one", "two"), [], ""),
    "HEROSERVE_KEY_RATE": ("key_rate", "0.5", 0.5, ["-1", "nan", "inf", "1000001"], "in [0, 1e+06]"),
    "HEROSERVE_KEY_CONCURRENCY": ("key_concurrency", "8", 8, ["-1", "1.5", "1000001"], "from 0 to 1000000"),
    "HEROSERVE_REQUEST_TIMEOUT_S": ("request_timeout_s", "0.5", 0.5, ["0", "3601", "nan", "inf"], "in (0, 3600]"),
    "HEROSERVE_MIN_REPLICAS": ("min_replicas", "1", 1, ["0", "1001", "1.5"], "whole number from 1 to 1000"),
    "HEROSERVE_MAX_REPLICAS": ("max_replicas", "1000", 1000, ["0", "1001"], "whole number from 1 to 1000"),
    "HEROSERVE_UPSCALE_DELAY_S": ("upscale_delay_s", "0", 0.0, ["-1", "86401", "nan", "x"], "in [0, 86400]"),
    "HEROSERVE_DOWNSCALE_DELAY_S": ("downscale_delay_s", "2.5", 2.5, ["-1", "86401", "inf", "5m"], "in [0, 86400]"),
    "HEROSERVE_MAX_ONGOING_REQUESTS": ("max_ongoing_requests", "7", 7, ["0", "10001"], "from 1 to 10000"),
    "HEROSERVE_MAX_QUEUED_REQUESTS": ("max_queued_requests", "1", 1, ["0", "100001"], "from 1 to 100000"),
    "HEROSERVE_MAX_QUEUED_BYTES": ("max_queued_bytes", "1", 1, ["0", "1e6"], "whole number from 1 to 1099511627776"),
    "HEROSERVE_MAX_WAIT_S": ("max_wait_s", "0", 0.0, ["-1", "3601", "nan"], "in [0, 3600]"),
    "HEROSERVE_MAX_IMAGE_BYTES": ("max_image_bytes", "1000", 1000, ["0", "20MB", "62914561"], "1 to 62914560"),
    "HEROSERVE_REPLICA_CPUS": ("replica_cpus", "0.25", 0.25, ["0", "0.00001", "1025"], "in [0.0001, 1024]"),
    "HEROSERVE_REPLICA_GPUS": ("replica_gpus", "0.25", 0.25, ["0", "0.00001", "65"], "in [0.0001, 64]"),
    "HEROSERVE_LOG_LEVEL": ("log_level", "DEBUG", "DEBUG", ["debug", "LOUD"], "one of DEBUG, INFO, WARNING, ERROR"),
    "HEROSERVE_LOG_FORMAT": ("log_format", "json", "json", ["JSON", "logfmt"], "one of auto, json, text"),
    "HEROSERVE_LOG_FILE": ("log_file", "/proc/1/fd/2", "/proc/1/fd/2", [], ""),
    "HEROSERVE_ENCODER_TARGET": (
        "encoder_target",
        "dns:///e:9000",
        "dns:///e:9000",
        ["e", "e:99999", "http://e", "::1"],
        "HOST:PORT",
    ),
    "HEROSERVE_ENCODER_API_KEY": ("encoder_api_key", "s3cret", "s3cret", [], ""),
    "HEROSERVE_ENCODER_TIMEOUT_S": ("encoder_timeout_s", "3600", 3600.0, ["0", "-1", "x"], "in (0, 3600]"),
    "HEROSERVE_ENCODER_ROWS": ("encoder_rows", "int8", "int8", ["float16", "INT8"], "one of native, bfloat16, int8"),
    "HEROSERVE_ENGINE": ("engine", "transformers", "transformers", ["no engine"], "expected one of "),
    "HEROSERVE_ENGINE_THREADS": ("engine_threads", "256", 256, ["0", "257"], "from 1 to 256"),
    "HEROSERVE_VLLM_ARGS": ("vllm_args", "--seed 1", ("--seed", "1"), ["seed=1", "--a 'b"], "expected vLLM's flags"),
    "HEROSERVE_TENSOR_PARALLEL": ("tensor_parallel", "2", 2, ["0", "65", "1.5"], "from 1 to 64"),
    "HEROSERVE_EXPORT_DIR": ("export_dir", " ~/lm ", "~/lm", [], ""),
    "HEROSERVE_VLLM_URL": (
        "vllm_urls",
        " http://a:1 ,https://b/v1",
        ("http://a:1", "https://b"),
        ["a:1"],
        "http://HOST",
    ),
    "HEROSERVE_VLLM_API_KEY": ("vllm_api_key", "s3cret", "s3cret", [], ""),
    "HEROSERVE_VLLM_REQUESTS": ("vllm_requests", "1", 1, ["0", "65537"], "from 1 to 65536"),
    "HEROSERVE_VLLM_TIMEOUT_S": ("vllm_timeout_s", "1.5", 1.5, ["0", "3601"], "in (0, 3600]"),
    "HEROSERVE_CHAT_TEMPLATE": ("chat_template", "{{ x }}\n", "{{ x }}\n", [], ""),
    "HEROSERVE_NEWLINES": ("newlines", "every_row", "every_row", ["none"], "one of every_row, kept_rows"),
    "HEROSERVE_POSITION_IDS": ("position_ids", "original", "original", ["gap"], "one of compact, original"),
    "HEROSERVE_LAYOUT": ("layout", "base_first", "base_first", ["shuffled"], "one of raster, base_first"),
    "HEROSERVE_MAX_IMAGES": ("max_images", "64", 64, ["0", "65"], "from 1 to 64"),
    "HEROSERVE_DEFAULT_MAX_TOKENS": ("default_max_tokens", "1048576", 1048576, ["0", "1048577"], "from 1 to 1048576"),
    "HEROSERVE_IMAGE_HOSTS": (
        "image_hosts",
        " A.example.com, *.b.example.com:8443,[fd00::1]:80,10.1.2.3",
        ("a.example.com", "*.b.example.com:8443", "[fd00::1]:80", "10.1.2.3"),
        ["https://a.com", "a.com/x", "*", "a b", "127.1", "a.com:0", "a.com,", "user@a.com", "::1", "*.1.2.3"],
        "hosts in ASCII with commas between them",
    ),
    "HEROSERVE_IMAGE_NETWORKS": (
        "image_networks",
        "10.1.0.0/16, fd00:1::/64,192.168.1.7",
        ("10.1.0.0/16", "fd00:1::/64", "192.168.1.7/32"),
        ["10.1.0.1/16", "localhost", "10.0.0.0/33", ","],
        "networks with commas between them",
    ),
    "HEROSERVE_IMAGE_TIMEOUT_S": ("image_timeout_s", "2.5", 2.5, ["0", "3601", "nan"], "in (0, 3600]"),
    "HEROSERVE_OPENAI_DETAIL": ("openai_detail", "on", "on", ["low", "ON"], "one of off, on"),
    "HEROSERVE_PLAYGROUND": ("playground", "off", "off", ["no", "OFF"], "one of on, off"),
}


def test_gpus_are_whole_or_a_share_of_one() -> None:
    """As Ray has it, which says so when a replica starts."""
    for value in ("1.5", "2.25"):
        with pytest.raises(SettingError, match=rf"^HEROSERVE_REPLICA_GPUS={value}: expected a whole number of them"):
            Settings.from_env({"HEROSERVE_REPLICA_GPUS": value})
    assert Settings.from_env({"HEROSERVE_REPLICA_GPUS": "2"}).replica_gpus == 2


def test_every_variable_of_the_llm_service_is_in_this_table():
    variables = {item.metadata["variable"]: item.name for item in dataclasses.fields(LlmSettings)}
    assert variables == {variable: case[0] for variable, case in CASES.items()}


@pytest.mark.parametrize("variable", CASES)
def test_a_value_arrives(variable):
    name, raw, value, *_ = CASES[variable]
    settings = LlmSettings.from_env({variable: raw})
    assert getattr(settings, name) == value
    assert type(getattr(settings, name)) is type(value)
    # And changes nothing else.
    changed = {
        item.name
        for item in dataclasses.fields(LlmSettings)
        if getattr(settings, item.name) != getattr(LlmSettings(), item.name)
    }
    assert changed <= {name}


@pytest.mark.parametrize(("variable", "raw"), [(v, raw) for v, case in CASES.items() for raw in case[3]])
def test_a_refusal_names_variable_value_and_what_is_expected(variable, raw):
    with pytest.raises(SettingError) as refused:
        LlmSettings.from_env({variable: raw})
    assert str(refused.value).startswith(f"{variable}={raw!r}: expected ")
    assert CASES[variable][4] in str(refused.value)


@pytest.mark.parametrize("variable", ["HEROSERVE_GRPC_PORT", "HEROSERVE_MAX_IMAGES", "HEROSERVE_MAX_WAIT_S"])
@pytest.mark.parametrize("raw", ["1_0", "\u0661\u0660", "\uff11\uff10", "1_0.5"])
def test_a_number_is_written_in_digits(variable, raw):
    with pytest.raises(SettingError, match=f"^{variable}='.*': expected a (whole )?number"):
        LlmSettings.from_env({variable: raw})


@pytest.mark.parametrize("variable", [variable for variable, case in CASES.items() if case[3]])
def test_a_long_value_is_refused_in_a_short_line(variable):
    with pytest.raises(SettingError) as refused:
        LlmSettings.from_env({variable: "9\x00" * 2500 + "\n"})
    assert str(refused.value).startswith(f"{variable}='9")
    assert len(str(refused.value)) < 600
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
@pytest.mark.parametrize("variable", CASES)
def test_blank_is_unset(variable, blank):
    assert LlmSettings.from_env({variable: blank}) == LlmSettings()


def test_the_contracts_ports():
    llm, encoder = LlmSettings.from_env({}), EncoderSettings.from_env({})
    assert (llm.grpc_port, llm.http_port, llm.metrics_port) == (9001, 8001, 9101)
    assert (encoder.grpc_port, encoder.http_port, encoder.metrics_port) == (9000, 8000, 9100)
    assert llm.encoder_target.endswith(f":{encoder.grpc_port}")


def test_replicas_must_not_cross():
    with pytest.raises(SettingError, match=r"^HEROSERVE_MAX_REPLICAS=2 is below HEROSERVE_MIN_REPLICAS=3$"):
        LlmSettings.from_env({"HEROSERVE_MIN_REPLICAS": "3", "HEROSERVE_MAX_REPLICAS": "2"})
    assert LlmSettings.from_env({"HEROSERVE_MIN_REPLICAS": "3", "HEROSERVE_MAX_REPLICAS": "3"}).max_replicas == 3


def test_metrics_folders_do_not_meet():
    services = [LlmSettings(), EncoderSettings(), LlmSettings(metrics_port=9999), EncoderSettings(metrics_port=9101)]
    folders = {settings.metrics_folder for settings in services}
    assert len(folders) == 4


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LlmSettings().model = "x"


def test_a_setting_error_is_a_value_error():
    assert issubclass(SettingError, ValueError)


def test_other_variables_do_not_matter():
    assert LlmSettings.from_env({"HEROSERVE_MODLE": "x", "PATH": "y"}) == LlmSettings()


def test_a_misspelt_variable_is_told_with_the_nearest_one():
    names = [
        "PATH",
        "HEROSERVE_MODLE",
        "HEROSERVE_CACHE_URL",
        "HEROSERVE_API_KEY",
        "HEROSERVE_VERSION",
        "HEROSERVE_XYZ",
    ]
    assert list(unknown(names, VARIABLES)) == [
        "HEROSERVE_MODLE is no setting; did you mean HEROSERVE_MODEL?",
        "HEROSERVE_XYZ is no setting",
    ]


def test_a_service_warns_of_it_and_starts(monkeypatch, caplog):
    # Itself: once logs are configured nothing reaches the root, where caplog listens.
    monkeypatch.setattr(deployment.logger, "handlers", [caplog.handler])
    monkeypatch.setattr(deployment.logger, "propagate", False)
    monkeypatch.setenv("HEROSERVE_RETENTON", "0.1")
    args = {"HEROSERVE_MAX_IMAGE": "2", "HEROSERVE_MAX_IMAGES": "3"}
    assert deployment.settings(LlmSettings, args).max_images == 3
    assert [record.getMessage() for record in caplog.records] == [
        "HEROSERVE_MAX_IMAGE is no setting; did you mean HEROSERVE_MAX_IMAGES?",
        "HEROSERVE_RETENTON is no setting; did you mean HEROSERVE_RETENTION?",
    ]


# What is said of which key; of keys themselves nothing may be.
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (",,", "key 1 of 3, between commas, is empty"),
        ("s3cret,", "key 2 of 2, between commas, is empty"),
        ("s3cret, ,other", "key 2 of 3, between commas, is empty"),
        ("s3cret other", "key 1 of 1, between commas, has a blank in place 7"),
        ("other,s3cret\tx", "key 2 of 2, between commas, has a control character in place 7"),
        ("s3cret\nother", "has a control character in place 7"),
        ("s3cret\x7f", "has a control character in place 7"),
        ("schl\u00fcssel", "has a character that is not ASCII in place 5"),
        ("s3cret\u00a0x", "has a character that is not ASCII in place 7"),
        ("s3cret\u2013x", "has a character that is not ASCII in place 7"),
    ],
)
@pytest.mark.parametrize("settings", [LlmSettings, EncoderSettings])
def test_keys_that_no_caller_could_send_are_refused_by_place(settings, value, told):
    with pytest.raises(SettingError) as refused:
        settings.from_env({"HEROSERVE_API_KEYS": value})
    assert str(refused.value).startswith("HEROSERVE_API_KEYS: ")
    assert told in str(refused.value)
    assert "printable ASCII without blanks and commas" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("value", "told"), [("one,two", "a comma in place 4"), ("a b", "a blank"), ("\u00e9", "not ASCII")]
)
def test_the_encoders_key_is_one_that_can_be_sent(value, told):
    with pytest.raises(SettingError, match=f"^HEROSERVE_ENCODER_API_KEY: expected one key, has .*{told}"):
        LlmSettings.from_env({"HEROSERVE_ENCODER_API_KEY": value})


def test_keys_and_quotas_are_the_proxies_too(monkeypatch):
    keys, rate = "HEROSERVE_API_KEYS", "HEROSERVE_KEY_RATE"
    with pytest.raises(SettingError, match=f"^{rate}: Ray's proxies count, and go by the environment"):
        deployment.settings(LlmSettings, {rate: "5"})
    monkeypatch.setenv(rate, "5")
    with pytest.raises(SettingError, match=f"^{rate}=5: .* has none in {keys}; set both there$"):
        deployment.settings(LlmSettings, {keys: "one"})
    monkeypatch.setenv(keys, "one,two")
    assert deployment.settings(LlmSettings, {}).key_rate == 5
    assert deployment.settings(LlmSettings, {rate: "5 ", keys: " one, two"}).api_keys == ("one", "two")
    with pytest.raises(SettingError, match=f"^{keys}: .* have other keys"):
        deployment.settings(LlmSettings, {keys: "one"})
    monkeypatch.setenv(keys, "one,")
    with pytest.raises(SettingError, match=f"^{keys}: key 2 of 2"):
        deployment.settings(LlmSettings, {keys: "one"})


def test_the_playground_is_the_proxies_alone(monkeypatch):
    name = "HEROSERVE_PLAYGROUND"
    with pytest.raises(SettingError, match=f"^{name}: Ray's proxies serve it, and go by .*set it there$"):
        deployment.settings(LlmSettings, {name: "off"})
    assert deployment.settings(LlmSettings, {name: "on"}).playground == "on"
    monkeypatch.setenv(name, "off")
    assert deployment.settings(LlmSettings, {}).playground == "off"
    # An encoder's configuration says nothing of it.
    deployment.settings(EncoderSettings, {})


def test_the_environment_is_read_by_default(monkeypatch):
    monkeypatch.setenv("HEROSERVE_MAX_IMAGES", "7")
    assert LlmSettings.from_env().max_images == 7


def test_both_services_read_the_common_variables():
    common = {item.metadata["variable"] for item in dataclasses.fields(Settings)}
    for cls in (LlmSettings, EncoderSettings):
        assert common <= {item.metadata["variable"] for item in dataclasses.fields(cls)}
        assert all(v.startswith("HEROSERVE_") for v in (item.metadata["variable"] for item in dataclasses.fields(cls)))


def test_two_ports_are_not_the_same():
    environ = {"HEROSERVE_GRPC_PORT": "9201", "HEROSERVE_METRICS_PORT": "9201"}
    with pytest.raises(SettingError, match=r"^HEROSERVE_GRPC_PORT and HEROSERVE_METRICS_PORT are both 9201"):
        LlmSettings.from_env(environ)
    with pytest.raises(SettingError, match=r"^HEROSERVE_HTTP_PORT and HEROSERVE_RAY_METRICS_PORT are both 9103"):
        LlmSettings.from_env({"HEROSERVE_HTTP_PORT": "9103"})
