"""The LLM service as a Ray Serve application: ``services.llm.app:build``."""

from __future__ import annotations

from services.common import collecting  # isort: skip  # before what is large

from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.grpc_util import RayServegRPCContext

from heroserve import methods
from heroserve.v1.chat_pb2 import ChatDescription, DescribeChatRequest, GenerateRequest, GenerateResponse
from services.common import deployment
from services.common.gate import Gate
from services.common.grpc_call import GrpcCall
from services.common.identity import identify
from services.common.probe import Probe
from services.common.replica import Replica
from services.llm import metrics, parts, scaling
from services.llm.card import examples
from services.llm.doors import grpc as door
from services.llm.doors.openai import description, routes
from services.llm.engines.registry import ongoing, open_engine
from services.llm.kept_images import KeptImages
from services.llm.settings import LlmSettings

collecting.again()


class ChatDeployment(Replica[LlmSettings]):
    """``heroserve.v1.VisionChat``, and OpenAI's API beside it."""

    async def open(self, settings: LlmSettings, *others: Any) -> None:
        (source,) = others
        self._settings = settings
        self._gate = Gate(settings.api_keys, metrics.REQUESTS, metrics.EXHAUSTED, settings.request_timeout_s)
        checkpoint = identify(source)
        prompts = parts.open_prompts(settings, source)
        self._engine = open_engine(settings, source, prompts)
        await self._engine.begin()
        self.probe = Probe(self._engine.check_health)
        # While some generate, as many others have their images encoded.
        self._ongoing = ongoing(settings)
        self._admission = deployment.open_admission(settings, 2 * self._engine.slots, self._ongoing)
        splicer = parts.open_splicer(settings, source)
        self._encoder = parts.open_encoder(settings, splicer, checkpoint)
        self._chat = parts.open_chat(settings, self._encoder, prompts, splicer, self._engine, source)
        self._description = ChatDescription(
            model=settings.model,
            engine=settings.engine,
            context_length=self._engine.context_length,
            default_max_tokens=settings.default_max_tokens,
            max_images=settings.max_images,
            newlines=settings.newlines,
            position_ids=settings.position_ids,
            trained=source.trained,
            version=version("heroserve"),
            checkpoint=checkpoint,
            examples=examples(source),
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        """What Serve gives HTTP requests to, made when it is open."""
        settings = self._settings
        return routes.application(
            gate=self._gate,
            admission=self._admission,
            uploads=deployment.open_admission(settings, self._ongoing, self._ongoing),
            chat=self._chat,
            kept=KeptImages(self._encoder),
            describe=self._described,
            fetcher=parts.open_fetcher(settings),
            model=parts.model_name(settings),
            context_length=self._engine.context_length,
            detail=settings.openai_detail == "on",
            max_images=settings.max_images,
            timeout_s=settings.request_timeout_s,
        )

    async def Generate(
        self, request: GenerateRequest, grpc_context: RayServegRPCContext
    ) -> AsyncIterator[GenerateResponse]:
        call = GrpcCall(methods.GENERATE.path, grpc_context, request)
        with self._gate.guard(call) as serving:
            async with self._admission.turn(serving, call.bytes_in):
                pieces = self._chat.generate(door.parse_request(request))
                async with aclosing(door.responses(pieces)) as responses:  # type: ignore[type-var]
                    async for response in responses:
                        yield call.answered(response)

    async def Describe(self, request: DescribeChatRequest, grpc_context: RayServegRPCContext) -> ChatDescription:
        call = GrpcCall(methods.DESCRIBE.path, grpc_context, request)
        return await self._gate.unary(call, self._describe, ChatDescription())

    async def _describe(self) -> ChatDescription:
        found = ChatDescription()
        found.CopyFrom(self._description)
        encoder = await self._encoder.describe()
        if encoder is not None:
            found.encoder.CopyFrom(encoder)
        return found

    async def _described(self) -> dict[str, Any]:
        settings = self._settings
        return description.told(await self._describe(), parts.model_name(settings), settings.grpc_port)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What Serve asks for, and ``scaling.policy`` goes by."""
        if self._settings.engine != "vllm":
            # A thread of the embedded engine's is no measure of an accelerator, for others wait for it all the time;
            # and of servers beside another replica here makes no more.
            return {}
        waiting, begun = self._chat.prompt_tokens()
        return {scaling.WAITING: waiting, scaling.BEGUN: begun}

    async def ready(self) -> dict[str, str]:
        """As ``Replica``: a picture needs the encoder, which need not be there for a question without one."""
        problems = {"encoder": await self._encoder.problem(), "engine": self._engine.problem}
        return {name: problem for name, problem in problems.items() if problem is not None}


def build(args: dict[str, str] | None = None, share: float = 1.0) -> Application:
    """The application, from HEROSERVE_* variables; ``args`` (of a Serve config file) go before the environment's.

    ``share`` is what each engine has of the machine's cores where HEROSERVE_REPLICA_CPUS says nothing.
    """
    settings = deployment.settings(LlmSettings, args)
    source = parts.model(settings)
    # What is wrong with it is told here, not by a replica that keeps restarting; and before a file's text takes the
    # place of its name, which is what to tell.
    parts.check(settings, source)
    settings = parts.settled(settings, source)
    settings = deployment.with_share(settings, args, share, parts.width(source))
    replica = serve.ingress()(ChatDeployment)
    parallel = settings.tensor_parallel if settings.engine == "vllm" else 1
    most = ongoing(settings)
    chat = deployment.deploy(
        replica,
        "Chat",
        settings,
        accelerator=True,
        parallel=parallel,
        ongoing=most,
        policy="services.llm.scaling:policy",
    )
    return chat.bind(settings, source)
