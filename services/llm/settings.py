"""The LLM service's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.common.api_keys import parse_key
from services.common.ingress import pages
from services.common.place import place
from services.common.settings import Settings, own
from services.common.variable import choice, integer, real, setting, text
from services.families.grid import Newlines
from services.llm.engines.remote import urls
from services.llm.engines.vllm import arguments
from services.llm.web.hosts import parse_hosts
from services.llm.web.networks import parse_networks

EngineName = Literal["transformers", "vllm", "vllm-remote"]
PositionIds = Literal["compact", "original"]
Rows = Literal["native", "bfloat16", "int8"]
Detail = Literal["off", "on"]
Playground = Literal["on", "off"]
Layout = Literal["raster", "base_first"]


@dataclass(frozen=True)
class LlmSettings(Settings):
    """What the LLM service reads; ``words`` say what each is, in README's table too."""

    name = "llm"

    grpc_port: int = own("grpc_port", 9001)
    http_port: int = own("http_port", 8001)
    metrics_port: int = own("metrics_port", 9101)
    ray_metrics_port: int = own("ray_metrics_port", 9103)
    encoder_target: str = setting(
        "HEROSERVE_ENCODER_TARGET",
        place,
        "localhost:9000",
        "the encoder's gRPC address; every address it resolves to gets its turn",
    )
    encoder_api_key: str = setting("HEROSERVE_ENCODER_API_KEY", parse_key, "", "sent to the encoder", secret=True)
    encoder_timeout_s: float = setting(
        "HEROSERVE_ENCODER_TIMEOUT_S",
        real(0, 3600, above=True),
        120.0,
        "longest to wait for the encoder, retries included, in seconds",
    )
    encoder_rows: Rows = setting(
        "HEROSERVE_ENCODER_ROWS",
        choice(Rows),
        "native",
        "rows sent by the encoder as it has them, or rounded for the way: half of float32's bytes, or a quarter",
    )
    max_ongoing_requests: int = own(
        "max_ongoing_requests",
        0,
        "32, with vLLM twice its `--max-num-seqs`, beside it twice `HEROSERVE_VLLM_REQUESTS` for each server",
    )
    engine: EngineName = setting("HEROSERVE_ENGINE", choice(EngineName), "transformers", "what generates")
    engine_threads: int = setting(
        "HEROSERVE_ENGINE_THREADS", integer(1, 256), 4, "requests that `transformers` generates at once, a replica"
    )
    vllm_args: tuple[str, ...] = setting(
        arguments.VARIABLE,
        arguments.words,
        (),
        "vLLM's own settings: flags of its command line (`--max-num-seqs 128 --gpu-memory-utilization 0.8`) or a "
        "JSON object",
    )
    tensor_parallel: int = setting(
        "HEROSERVE_TENSOR_PARALLEL",
        integer(1, 64),
        1,
        "accelerators of one node that vLLM spreads a replica's language model over; on CPUs, processes",
    )
    export_dir: str = setting(
        "HEROSERVE_EXPORT_DIR",
        text,
        "",
        "where the language model is written once as vLLM reads it, a folder each checkpoint",
        shown="`heroserve` in `HF_HOME`",
    )
    vllm_urls: tuple[str, ...] = setting(
        urls.VARIABLE,
        urls.parse_urls,
        (),
        "with `HEROSERVE_ENGINE=vllm-remote`: `http://HOST:PORT` of the vLLM servers with the model's language model, "
        "comma-separated; questions about one image go to the same one",
    )
    vllm_api_key: str = setting("HEROSERVE_VLLM_API_KEY", parse_key, "", "sent to these servers", secret=True)
    vllm_requests: int = setting(
        "HEROSERVE_VLLM_REQUESTS",
        integer(1, 65536),
        256,
        "requests that each of these servers is sent at once, a replica",
    )
    vllm_timeout_s: float = setting(
        "HEROSERVE_VLLM_TIMEOUT_S",
        real(0, 3600, above=True),
        120.0,
        "longest that one of these servers may say nothing while it answers, in seconds",
    )
    chat_template: str = setting(
        "HEROSERVE_CHAT_TEMPLATE",
        str,
        "",
        "chat template in Jinja, a file that holds one, or the name of one of the checkpoint's",
        shown="the checkpoint's",
    )
    max_images: int = setting("HEROSERVE_MAX_IMAGES", integer(1, 64), 1, "images a conversation may hold")
    default_max_tokens: int = setting(
        "HEROSERVE_DEFAULT_MAX_TOKENS", integer(1, 1 << 20), 256, "length of an answer when a request names none"
    )
    openai_detail: Detail = setting(
        "HEROSERVE_OPENAI_DETAIL",
        choice(Detail),
        "off",
        "whether `detail: low` of all images, over OpenAI's API, means a budget of 85 visual tokens each; some clients "
        "send it unasked",
    )
    playground: Playground = setting(
        pages.VARIABLE,
        choice(Playground),
        "on",
        "whether the HTTP port has the Playground at `/`, a page to ask about pictures and see what is kept of them",
    )
    image_hosts: tuple[str, ...] = setting(
        "HEROSERVE_IMAGE_HOSTS",
        parse_hosts,
        (),
        "hosts that images are fetched from where a request over OpenAI's API names their `http(s)` address, with "
        "commas between them: `*.example.com` is all below a name, `:PORT` behind one a port that is not the scheme's; "
        "none fetches nothing",
    )
    image_networks: tuple[str, ...] = setting(
        "HEROSERVE_IMAGE_NETWORKS",
        parse_networks,
        (),
        "networks in which those hosts may have addresses that are not public, such as `10.1.0.0/16`, with commas "
        "between them",
    )
    image_timeout_s: float = setting(
        "HEROSERVE_IMAGE_TIMEOUT_S",
        real(0, 3600, above=True),
        10.0,
        "longest to wait for an image from such a host, redirects included, in seconds",
    )
    newlines: Newlines = setting(
        "HEROSERVE_NEWLINES",
        choice(Newlines),
        "kept_rows",
        "newline tokens of every row of the image, or of rows that keep a token",
    )
    layout: Layout = setting(
        "HEROSERVE_LAYOUT",
        choice(Layout),
        "raster",
        "visual tokens as they lie in the picture, or what no question changes first, for an engine's prefix cache",
    )
    position_ids: PositionIds = setting(
        "HEROSERVE_POSITION_IDS",
        choice(PositionIds),
        "compact",
        "tokens numbered one after the other, or as if nothing had been dropped",
    )

    @property
    def models_at_once(self) -> int:
        """As ``Settings``: vLLM spreads a replica over processes."""
        return self.max_replicas * (self.tensor_parallel if self.engine == "vllm" else 1)
