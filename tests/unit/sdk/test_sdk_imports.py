"""The client is light: none of the serving packages is imported, whatever is installed."""

import subprocess
import sys

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
