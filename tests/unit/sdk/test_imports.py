"""The client is light: none of the serving packages is imported, whatever is installed; and its types can be read."""

import inspect
import pathlib
import subprocess
import sys
import typing

import pytest

import heroserve

BLOCKED = ("torch", "numpy", "PIL", "transformers", "ray", "redis", "services")
SCRIPT = f"""
import sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocker())
import heroserve
assert heroserve.__version__
assert not {{"typer", "rich"}} & set(sys.modules), "only the command line needs these"
assert all(hasattr(heroserve, name) for name in heroserve.__all__)
import heroserve.cli
assert not set({BLOCKED!r}) & set(sys.modules)
"""


def test_import_without_the_serving_packages():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FUNCTIONS = [function for name in heroserve.__all__ if inspect.isfunction(function := getattr(heroserve, name))]
METHODS = [
    method
    for kind in (
        heroserve.Client,
        heroserve.AsyncClient,
        heroserve.Stream,
        heroserve.AsyncStream,
        heroserve.TokenStream,
        heroserve.AsyncTokenStream,
    )
    for name, method in inspect.getmembers(kind, inspect.isfunction)
    if name == "__init__" or not name.startswith("_")
]


@pytest.mark.parametrize("public", [*FUNCTIONS, *METHODS], ids=lambda function: function.__qualname__)
def test_type_hints_can_be_read(public):
    """Tools that make forms or schemas of functions do; what is imported for a type checker alone is not there then."""
    assert typing.get_type_hints(public).keys() >= inspect.signature(public).parameters.keys() - {"self"}


def test_what_decides_knows_nothing_of_what_moves_bytes():
    sources = pathlib.Path(heroserve.__file__).parent.glob("*.py")
    users = {source.name for source in sources if "heroserve.transport" in source.read_text()}
    assert users == {"client.py", "aio.py", "streams.py", "token_streams.py"}
