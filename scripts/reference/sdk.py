"""Every public name of the SDK. What each is, its docstring says when the site is built."""

from __future__ import annotations

import inspect

import heroserve
from heroserve import batch
from scripts.reference.markdown import head, plain, table

_WORDS = """\
`pip install .` in a checkout; no torch, no services. Everything here is `heroserve.NAME`. Messages of the wire
are told in [protos](protos.md). How it is used: [from Python](../../README.md#from-python)."""
# In this order, each with what belongs there; the rest are values and types.
_STREAMS = ("Stream", "AsyncStream", "TokenStream", "AsyncTokenStream")
_CLIENTS = ("Client", "AsyncClient", *_STREAMS, "RetryPolicy", "CallOptions")


def page() -> str:
    text = head("Python SDK", "sdk/heroserve/__init__.py", _WORDS)
    for title, names in sections().items():
        text += f"\n## {title}\n"
        if title == "Messages":
            text += table(("name", "message"), ((f"`{name}`", _message(name)) for name in names))
        elif title == "Constants":
            text += table(("name", "value"), ((f"`{name}`", f"{getattr(heroserve, name):,}") for name in names))
        else:
            text += "".join(f"\n::: heroserve.{name}\n" for name in names)
    text += f"\n## Many questions\n\n{plain(inspect.cleandoc(batch.__doc__ or '').partition(chr(10))[0])}\n"
    return text + "".join(f"\n::: heroserve.batch.{name}\n" for name in batch.__all__)


def sections() -> dict[str, list[str]]:
    """All that is public, but for its version."""
    found: dict[str, list[str]] = {
        name: [] for name in ("Clients", "What is asked", "What comes back", "Errors", "Messages", "Constants")
    }
    found["Clients"] += _CLIENTS
    for name in heroserve.__all__:
        if name not in (*_CLIENTS, "__version__"):
            found[_section(name)].append(name)
    return found


def _section(name: str) -> str:
    value = getattr(heroserve, name)
    if hasattr(value, "DESCRIPTOR"):
        return "Messages"
    if isinstance(value, int):
        return "Constants"
    if inspect.isclass(value) and issubclass(value, Exception):
        return "Errors"
    return "What comes back" if getattr(value, "__dataclass_params__", None) else "What is asked"


def _message(name: str) -> str:
    full = getattr(heroserve, name).DESCRIPTOR.full_name
    return f"[`{full}`](protos.md#{full.rpartition('.')[2].lower()})"
