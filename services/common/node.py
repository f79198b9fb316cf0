"""Run one service on this machine: ``python -m services.encoder``, ``python -m services.llm``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from heroserve import MAX_MESSAGE_BYTES
from services.common import health, logs, metric_folder, notify, ray_metrics, ray_start
from services.common.building import Build, Building
from services.common.ports import check_host, check_port
from services.common.settings import SettingError, Settings
from services.common.shown import assigned, first_line
from services.common.start_up import StartUp
from services.common.stop import Stop

# What a port serves, by the application's name.
SERVICERS = {"encoder": "services.common.ingress.add_encoder", "llm": "services.common.ingress.add_chat"}

T = TypeVar("T", bound=Settings)

logger = logging.getLogger(__name__)

# From about when the process began.
_start = StartUp("reading settings")


def main(read: Callable[[], T], look: Callable[[T], None], build: Build) -> None:
    """Start the service and stay until SIGTERM or SIGINT; then let requests finish, and stop.

    It has a local Ray of its own. Where RAY_ADDRESS is set it joins that one instead, and its Serve, if one runs there
    already: then that one's ports count.

    Args:
        read: its settings.
        look: at what they name, as far as that is told at once. Raises SettingError.
        build: its Ray Serve application. Called in a thread, while Ray starts: it may import what it needs, which takes
            as long.
    """
    logs.settle()
    try:
        settings = read()
        logs.check(settings.log_file)
        address = os.environ.get("RAY_ADDRESS")
        if not address:
            check_host(settings.host)
            check_port("HEROSERVE_HTTP_PORT", settings.http_port, settings.host)
            check_port("HEROSERVE_GRPC_PORT", settings.grpc_port)
            check_port("HEROSERVE_METRICS_PORT", settings.metrics_port)
            check_port("HEROSERVE_RAY_METRICS_PORT", settings.ray_metrics_port)
            if settings.device == "cuda":
                from services.common import device

                device.check_gpu()
        look(settings)
        logs.configure(settings.log_level, settings.log_format, settings.log_file)
        _serve(settings, build, address)
    except SettingError as error:
        # What Ray passed on of other processes comes before it, in a pipe too.
        sys.stdout.flush()
        sys.exit(f"heroserve: {error}")


def _serve(settings: Settings, build: Build, address: str | None) -> None:
    import ray
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.schema import LoggingConfig

    from services.common import room

    cores, share = None, 1.0
    if not address:
        models, ingress = settings.models_at_once, settings.max_replicas * settings.ingress_cpus
        cores, share = room.logical_cores(settings.replica_cpus, models, ingress), room.share(models)
    metric_folder.own(folder := Path(settings.metrics_folder))
    metric_folder.clear(folder)
    health.unmark(settings)
    # Serve tells of every request and every scaling step; our own modules log what matters.
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
    # The same for what it says in this process.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    building = Building(build, share)
    _start.begin("joining Ray" if address else "starting Ray")
    ray_start.start(address, cores)
    try:
        if not address:
            # Ray's own is on loopback, and a port that no scrape configuration could name.
            ray_metrics.serve(settings.ray_metrics_port, ray.nodes()[0]["MetricsExportPort"])  # type: ignore[no-untyped-call]
        ready, stop = threading.Event(), Stop()

        def end(number: int, _: object) -> None:
            if stop.asked and number == signal.SIGINT:
                # Whoever asks twice does not wait for requests. Ray's processes end with this one.
                os._exit(128 + number)
            stop.ask()
            if not ready.is_set():
                sys.exit(128 + number)

        # Not earlier: Ray puts in handlers of its own.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Of a terminal that is closed, but where nohup has it ignored.
            if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP:
                signal.signal(number, end)
        # What is wrong with the model may be known by now.
        building.check()
        _start.begin("starting Ray Serve")
        ray_start.start_serve(
            proxy_location="EveryNode",
            http_options={"host": settings.host, "port": settings.http_port},
            grpc_options={
                "port": settings.grpc_port,
                # A proxy's services are fixed when Serve starts, and in a Ray that it joins another may follow.
                "grpc_servicer_functions": list(SERVICERS.values()) if address else [SERVICERS[settings.name]],
                "request_timeout_s": settings.request_timeout_s,
            },
            logging_config=quiet,
        )
        if settings.device == "cuda" and ray.cluster_resources().get("GPU", 0) < 1:  # type: ignore[no-untyped-call]
            raise SettingError("HEROSERVE_DEVICE='cuda': this Ray has no GPU")
        _start.begin("looking at the model's files")
        application = building.result()
        _start.beside("the service's code and its model's files", building.seconds)
        if not address:
            room.check_gpus(application, settings.min_replicas)
        _start.begin("loading the model")
        try:
            serve.run(application, name=settings.name, route_prefix=f"/{settings.name}", logging_config=quiet)
        except (RuntimeError, TimeoutError, RayError) as error:
            raise _reason(settings.name, error) from error
        ready.set()
        health.mark(settings)
        notify.ready()
        logger.info(
            "%s is ready: gRPC on port %d, health at http://%s:%d/readyz, metrics at http://%s:%d/metrics",
            settings.name,
            settings.grpc_port,
            *(settings.reachable_host, settings.http_port),
            *(settings.reachable_host, settings.metrics_port),
        )
        logger.info("%s was started in %s", settings.name, _start.told())
        stop.wait()
        health.unmark(settings)
        notify.stopping()
        logger.info("%s is stopping: requests under way may finish", settings.name)
        drain(settings)
    finally:
        if not address:
            serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()
        if not address:
            metric_folder.remove(folder)
    logger.info("%s has stopped", settings.name)


def _reason(name: str, error: Exception) -> Exception:
    """Why Serve gave the application up: what a replica said last, in one line."""
    from ray import serve

    application = serve.status().applications.get(name)
    for told in application.deployments.values() if application else ():
        problem = told.message.rstrip().rpartition("\n")[2]
        if told.status == "DEPLOY_FAILED" and problem:
            # As the last line of a traceback has it.
            return SettingError(problem.removeprefix(f"{SettingError.__module__}.{SettingError.__name__}: "))
    return SettingError(f"{name} did not start; what its replicas logged is above ({error})")


def drain(settings: Settings) -> None:
    """Refuse new requests, and return when those under way have ended, or HEROSERVE_REQUEST_TIMEOUT_S is over."""
    from ray import serve

    deadline = time.monotonic() + settings.request_timeout_s
    while True:
        try:
            serve.delete(settings.name)
        except TimeoutError:
            # Serve itself waits a minute at most; asked again it goes on waiting.
            if time.monotonic() > deadline:
                logger.warning("%s still had requests after %g s", settings.name, settings.request_timeout_s)
                return
        else:
            return


def set_environment() -> None:
    """What Ray reads when it is imported or starts its processes; a value that is set already stays."""
    # Another program's folder of metrics, in the shell that started us. Replicas are given their own.
    os.environ.pop(metric_folder.VARIABLE, None)
    for variable, value in {
        # What the SDK sends and takes at most; Ray's own limit is 2 GiB.
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(MAX_MESSAGE_BYTES),
        # From a proxy straight to its replica, which takes less of a processor than a task of Ray's. A message there is
        # what a caller sends, and what Ray says of it; Ray's own bound is 4 MiB.
        "RAY_SERVE_PROXY_USE_GRPC": "1",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2 * MAX_MESSAGE_BYTES),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Replicas' lines as they wrote them: no coloured prefix before JSON, and none left out for being like another.
        "RAY_DISABLE_WORKER_LOG_PREFIX": "1",
        "RAY_DEDUP_LOGS": "0",
        # The gate tells of what fails; of calls that nobody waits for any more Ray would write a traceback.
        "RAY_IGNORE_UNHANDLED_ERRORS": "1",
        # What Ray's own processes have to say keeps its prefix, but not in colours.
        "RAY_COLOR_PREFIX": "0",
        # What Ray's processes write is bounded: this for each file, and once more for the one before it. Ray's own
        # bound is 2.5 GB, and in a container its folder may be memory.
        "RAY_ROTATION_MAX_BYTES": str(8 << 20),
        "RAY_ROTATION_BACKUP_COUNT": "1",
        # Of its core, which has three lines for each call that is cancelled.
        "RAY_BACKEND_LOG_LEVEL": "warning",
        # A replica that hangs won't end in peace, and holds what the one in its place needs.
        "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
        # Three time-outs in a row, and a proxy is replaced; Ray's own are 10 s each, and 5 s for an empty farewell.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "4",
        "RAY_SERVE_PROXY_GRACEFUL_SHUTDOWN_TIMEOUT_S": "1",
        # An answer is megabytes, copied some times on its way. Below this size such memory is of a process's heap, and
        # that keeps so much of what is free: else the kernel takes it back and makes all pages anew, for each answer.
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
        # Proxies that hang up on idle connections, and answer what they should over HTTP.
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "services.common.proxy.configure",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # Which would be asked for at each start, with or without network.
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }.items():
        os.environ.setdefault(variable, value)
    # Read when huggingface_hub is imported, and what is wrong would be told as a fault of its own.
    reads: dict[str, Callable[[str], object]] = {"HF_ENDPOINT": urlsplit}
    reads |= {"HF_HUB_ETAG_TIMEOUT": int, "HF_HUB_DOWNLOAD_TIMEOUT": int}
    for variable, read in reads.items():
        given = os.environ.get(variable)
        try:
            _ = given and read(given)
        except ValueError as error:
            sys.exit(f"heroserve: {assigned(variable, given)}: {first_line(error)}")
