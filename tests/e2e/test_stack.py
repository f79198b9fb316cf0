"""The stack as a newcomer runs it: separate processes, each service its own Ray, the installed command line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import psutil

from scripts.redis_server import free_port
from scripts.stack import PICTURE, ROOT, Ports, Stack
from tests.support.up import health
from tests.support.waiting import until

COMMAND = str(Path(sys.executable).parent / "heroserve")


def title(process: psutil.Process) -> str:
    """What it calls itself; "" where it is gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def heroserve_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_question_from_the_command_line(stack: Stack):
    target = f"localhost:{stack.ports.llm}"
    arguments = [PICTURE, "What is the total?", "--retention", "0.2", "--max-tokens", "8", "--target", target]
    result = heroserve_command("ask", *arguments)
    assert result.returncode == 0, result.stderr
    assert "untrained" in result.stderr
    assert "visual tokens 88 of 448 kept (80.4% dropped)" in result.stderr
    answer = json.loads(heroserve_command("ask", *arguments, "--json").stdout)
    assert result.stdout.rstrip("\n") == answer["text"].rstrip("\n")
    assert answer["savings"].items() >= {"total": 448, "kept": 88, "dropped": 360}.items()


def test_an_error_on_the_command_line(stack: Stack, tmp_path: Path):
    file = tmp_path / "letter.png"
    file.write_text("Dear Sir or Madam")
    result = heroserve_command("ask", str(file), "What?", "--target", f"localhost:{stack.ports.llm}")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"heroserve: {file}: is not an image in one of ")
    assert "; it is text; " in result.stderr
    assert result.stderr.count("\n") == 1


def ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.status == 200
    except urllib.error.HTTPError:
        return False


def test_health_and_metrics_over_http(stack: Stack):
    for port in (stack.ports.encoder_http, stack.ports.llm_http):
        for path in ("/readyz", "/-/healthz"):
            assert until(lambda port=port, path=path: ok(f"http://localhost:{port}{path}"), 30)
    for port, name in (
        (stack.ports.encoder_metrics, "heroserve_encoder_requests_total"),
        (stack.ports.llm_metrics, "heroserve_chat_requests_total"),
    ):
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=10) as page:
            assert name in page.read().decode()


def listeners(process: subprocess.Popen[bytes]) -> dict[int, str]:
    """What it and all below it listen on: addresses by port."""
    found = {}
    root = psutil.Process(process.pid)
    for below in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {c.laddr.port: c.laddr.ip for c in below.net_connections() if c.status == psutil.CONN_LISTEN}
    return found


def test_nothing_of_rays_listens_where_others_are(stack: Stack):
    """Who gets into Ray runs code with our keys in its environment."""
    for service in ("encoder", "llm"):
        found = listeners(stack.services[service])
        open_to_all = {port for port, ip in found.items() if not ip.endswith("127.0.0.1")}
        ports = stack.ports
        named = {"": getattr(ports, service)}
        named |= {part: getattr(ports, f"{service}_{part}") for part in ("http", "metrics", "ray_metrics")}
        assert open_to_all == set(named.values()), found
        # And Ray's own are there at all: what was looked at is the whole.
        assert len(found) > len(named) + 4


def answer(port: int, path: str, authorization: str) -> grpc.StatusCode:
    """How a port of Ray's ends a call."""
    metadata = [("authorization", authorization)] if authorization else []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(path)(b"", timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_rays_own_ports_let_nobody_in_without_its_token(stack: Stack):
    """Work is pushed to workers, and asked of the GCS; a port that serves neither says so, or speaks no gRPC."""
    push, nodes = "/ray.rpc.CoreWorkerService/PushTask", "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
    ports = [port for port, ip in listeners(stack.services["llm"]).items() if ip.endswith("127.0.0.1")]
    refused = {push: set(), nodes: set()}
    for port in ports:
        for path, asking in refused.items():
            for authorization in ("", "Bearer wrong"):
                code = answer(port, path, authorization)
                if code is grpc.StatusCode.UNAUTHENTICATED:
                    asking.add(port)
                assert code in (
                    grpc.StatusCode.UNAUTHENTICATED,
                    grpc.StatusCode.UNIMPLEMENTED,
                    grpc.StatusCode.UNAVAILABLE,
                )
    # The service's own process, Serve's controller, its proxy and a replica at least.
    assert len(refused[push]) >= 4
    (gcs,) = refused[nodes]
    token = (Path.home() / ".ray" / "auth_token").read_text().strip()
    assert answer(gcs, nodes, f"Bearer {token}") is grpc.StatusCode.OK


def test_rays_own_metrics_are_where_they_were(stack: Stack):
    for service in ("encoder", "llm"):
        port = getattr(stack.ports, f"{service}_ray_metrics")
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=30) as page:
            assert "ray_node_mem_total" in page.read().decode()


def test_a_service_knows_whether_it_takes_requests(stack: Stack):
    for service in ("encoder", "llm"):
        assert until(
            lambda service=service: ok(f"http://localhost:{getattr(stack.ports, f'{service}_http')}/readyz"), 30
        )
        told = health(service, stack.ports)
        assert (told.returncode, told.stderr) == (0, "")
        told = health(service, Ports.free())
        assert (told.returncode, told.stderr) == (1, f"heroserve: {service} is starting or stopping\n")


def test_lines_of_all_processes_are_json_and_nobodys_prefix_or_colour(stack: Stack):
    """A replica's too, whose output Ray passes on; the first test asked."""
    for service, method in (("llm", "VisionChat/Generate"), ("encoder", "VisionEncoder/Encode")):
        log = stack.folder / f"{service}.log"
        assert until(lambda log=log, method=method: f"heroserve.v1.{method}" in log.read_text(), 20, 0.5)
        lines = log.read_text().splitlines()
        ours = [json.loads(line) for line in lines if "services." in line]
        assert {line["message"] for line in ours} >= {"request finished", f"metrics on port {mine(stack, service)}"}
        assert "\x1b" not in log.read_text()


def mine(stack: Stack, service: str) -> int:
    return getattr(stack.ports, f"{service}_metrics")


def test_bad_settings_are_told_in_one_line():
    ports = {f"HEROSERVE_{name}_PORT": str(free_port()) for name in ("GRPC", "HTTP", "METRICS", "RAY_METRICS")}
    for service, variables, message in (
        ("encoder", {"HEROSERVE_RETENTION": "1.5"}, r"HEROSERVE_RETENTION='1.5': expected a number in (0, 1]"),
        ("llm", {"HEROSERVE_MODEL": "/nowhere/model"}, "HEROSERVE_MODEL='/nowhere/model': no checkpoint found"),
        ("encoder", {"HEROSERVE_RELEVANCE_MODEL": "/nowhere"}, "HEROSERVE_RELEVANCE_MODEL='/nowhere': no checkpoint"),
        ("llm", {"HEROSERVE_DEVICE": "cuda"}, "HEROSERVE_DEVICE='cuda': this machine has no GPU"),
        ("llm", {"HEROSERVE_HTTP_HOST": "198.51.100.1"}, "HEROSERVE_HTTP_HOST='198.51.100.1': it can't be listened on"),
    ):
        result = subprocess.run(
            [sys.executable, "-m", f"services.{service}"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": str(Path.home()), **ports, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_what_only_a_replica_finds_is_told_in_one_line_too(folder: Path):
    """At once, not after three of its deaths."""
    ports = {f"HEROSERVE_{name}_PORT": str(free_port()) for name in ("GRPC", "HTTP", "METRICS", "RAY_METRICS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.llm"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), **ports, "HEROSERVE_MODEL": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # There is one when build() has found nothing; it has its modules to import yet.
    family = psutil.Process(process.pid)
    assert until(
        lambda: any(title(each).startswith("ray::ServeReplica") for each in family.children(recursive=True)), 120, 0.1
    )
    (folder / "model.safetensors").unlink()
    lines = process.communicate(timeout=120)[0].splitlines()
    assert process.returncode == 1
    assert lines[-1].startswith(f"heroserve: HEROSERVE_MODEL='{folder}': ")
    assert not [line for line in lines if "Traceback" in line]
    assert len(lines) < 10
