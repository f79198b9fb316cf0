"""The pages of docs/reference that are made from the code; ``scripts.generate`` writes them.

A page a module, with ``page() -> str``. Only the SDK's says no more than names: its docstrings are read when
the site is built.
"""

from __future__ import annotations

from importlib import import_module

PAGES = ("cli", "errors", "http", "metrics", "protos", "sdk", "settings")


def files() -> dict[str, bytes]:
    made = {}
    for name in PAGES:
        text: str = import_module(f"scripts.reference.{name}").page()
        made[f"docs/reference/{name}.md"] = f"{text.rstrip()}\n".encode()
    return made
