"""Who may import whom: read from the source, so that an import inside a function counts too."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from services.families.registry import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "services").rglob("*.py")
}


@cache
def imports(module: str) -> frozenset[str]:
    """What a module of ours names in its imports, whole."""
    found: set[str] = set()
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [base])]
                )
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if full in MODULES else base)
    return frozenset(found)


def reached(module: str) -> set[str]:
    """Every module that importing this one may bring in, ours followed."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            todo += imports(name)
    return seen


def within(*packages: str) -> list[str]:
    return [name for name in MODULES if any(name == p or name.startswith(f"{p}.") for p in packages)]


def breaches(modules: list[str], *forbidden: str) -> list[str]:
    return [
        f"{module} -> {name}"
        for module in modules
        for name in imports(module)
        if any(name == each or name.startswith(f"{each}.") for each in forbidden)
    ]


def test_the_method_imports_torch_and_nothing_of_ours():
    for module in within("services.encoder.hero"):
        outside = {name.split(".")[0] for name in imports(module) if not name.startswith("services.encoder.hero")}
        assert outside <= {"__future__", "dataclasses", "math", "torch", "typing"}, module


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("services.common", ("services.families", "services.encoder", "services.llm")),
        ("services.families", ("services.encoder", "services.llm", "ray", "heroserve", "grpc")),
        ("services.encoder", ("services.llm",)),
        ("services.llm", ("services.encoder",)),
    ],
)
def test_imports_go_one_way(package, forbidden):
    assert breaches(within(package), *forbidden) == []


@pytest.mark.parametrize("family", sorted(set(FAMILIES.values())))
def test_each_service_takes_its_half_of_a_family(family):
    """By the registry, which alone knows their names."""
    folder = f"services.families.{family}"
    modules = [name.rpartition(".")[2] for name in within(folder)]
    assert {"vision", "tower", "tiles", "language", "projector", "splice"} <= set(modules)
    others = [name for name in within("services") if not name.startswith(folder)]
    assert not breaches(others, folder)


HEART = [
    "chat",
    "job",
    "answer",
    "explanation",
    "refusal",
    "encoded",
    "layout",
    "reading",
    "prompt",
    "assemble",
    "splicer",
    "cost",
    "detokenize",
]


@pytest.mark.parametrize("name", HEART)
def test_the_heart_knows_no_wire_no_door_no_engine_and_no_settings(name):
    known = reached(f"services.llm.{name}")
    forbidden = ("heroserve", "google.protobuf", "ray", "services.llm.doors", "services.llm.settings")
    assert not [each for each in known if each.startswith(forbidden)]
    assert not [each for each in known if each.startswith("services.llm.engines.") and not each.endswith(".engine")]


def test_settings_end_where_the_application_is_composed():
    """Whatever else a module takes from there (an error, the words of a choice), only composing ones name the class."""
    readers = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and any(alias.name.endswith("Settings") for alias in node.names)
    }
    composing = {"__main__", "app", "fetch", "parts", "health", "settings", "sources"}
    running = {f"services.common.{name}" for name in ("deployment", "node", "replica")}
    running.add("services.llm.engines.registry")
    assert {module for module in readers if module.rpartition(".")[2] not in composing} == running


_HEAVY = "print({'torch', 'transformers', 'ray', 'redis'} & set(sys.modules))"


def test_entries_are_read_without_torch():
    code = "import sys, services.encoder.cache.entry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_told_of_settings_takes_no_torch():
    """It takes seconds, for which nobody should wait who has mistyped a port."""
    modules = (
        "common.node",
        "encoder.settings",
        "encoder.sources",
        "llm.settings",
        "llm.sources",
        "llm.export.__main__",
    )
    code = f"import sys, {', '.join(f'services.{name}' for name in modules)}; {_HEAVY}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_what_decodes_and_cuts_does_so_without_torch():
    """Each decoder is a process: what it imports is paid for so many times."""
    modules = ["services.encoder.images.decoder_main", *(name for name in MODULES if name.endswith(".cutter"))]
    assert len(modules) > 1
    code = f"import sys, {', '.join(modules)}; {_HEAVY}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("folder", ["unit", "deploy"])
def test_what_runs_side_by_side_starts_no_ray(folder: str) -> None:
    """Two at once would time each other out; in tests/integration all share one."""
    starts = (
        "ray.init(",
        "serve.run(",
        "serve.start(",
        "scripts.stack import Stack",
        "scripts.stack.running",
        "tests.support.up",
    )
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sorted((ROOT / "tests" / folder).rglob("*.py"))
        if path != Path(__file__)
        for word in starts
        if word in path.read_text(encoding="utf-8")
    ]
    assert not found
