"""What `pip install heroserve` brings: the SDK and nothing else, with a page on an index that leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from readme_renderer import markdown

from tests.support.manifests import ROOT

PUBLISHED = "https://github.com/heroserve/heroserve"
# By .gitignore.
MADE = re.compile(r"^(__pycache__|build|dist|node_modules|\.venv(-\w+)?|\.(hypothesis|\w+_cache))$|\.egg-info$")

# Two builds and an environment, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both distributions; the wheel is made from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return folder


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def python(wheel: Path, metadata: Message, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it says that it needs."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    python = home / "bin/python"
    place = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in sorted(needed(metadata)):
        found = distribution(name)
        for entry in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (place / entry).symlink_to(Path(str(found.locate_file(entry))))
    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    return python


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needed(metadata: Message) -> set[str]:
    """Names of distributions: those that a base install asks for, and those that they ask for."""
    wanted = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    names: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if requirement.name not in names:
            names.add(requirement.name)
            wanted += [Requirement(text) for text in distribution(requirement.name).requires or ()]
    return names


def test_the_wheel_is_the_sdk_alone(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = (ROOT / "sdk").rglob("*")
    there = {str(path.relative_to(ROOT / "sdk")) for path in sources if path.suffix in (".py", ".pyi", ".typed")}
    assert held == there | {"heroserve/py.typed"}


def test_it_runs_with_what_it_asks_for(python: Path, tmp_path: Path):
    for command, name in ((["heroserve"], "heroserve"), (["python", "-m", "heroserve"], "python -m heroserve")):
        program, *arguments = command
        assert f"Usage: {name} " in run(str(python.parent / program), *arguments, "--help", cwd=tmp_path)
    asked = "('heroserve', 'services', 'torch', 'ray')"
    script = f"from importlib.util import find_spec; print(*filter(find_spec, {asked}))"
    assert run(str(python), "-c", script, cwd=tmp_path).split() == ["heroserve"]


def test_everything_is_in_the_source_distribution(folder: Path):
    """`make test` runs from it, so it has protos, tests, services and the bundled model."""
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
    there = {str(path.relative_to(ROOT)) for path in tracked()}
    assert {"Makefile", "protos/heroserve/v1/chat.proto", "tests/conftest.py", "Dockerfile"} <= there
    assert there - names == set()


def tracked() -> Iterator[Path]:
    """What this checkout has that nobody made by running something."""
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and parts[0] not in (".git", "shared") and not any(map(MADE.search, parts)):
            yield path


def test_the_metadata_say_where_and_for_whom(metadata: Message):
    urls = dict(value.split(", ") for value in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Source", "Documentation", "Changelog", "Issues"} <= urls.keys()
    assert all(url.startswith(PUBLISHED) for url in urls.values())
    classifiers = metadata.get_all("Classifier", [])
    assert "Typing :: Typed" in classifiers
    oldest = metadata["Requires-Python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {oldest}" in classifiers


def test_an_index_would_take_them(folder: Path):
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, folder.iterdir()))


def test_the_page_on_an_index_leads_somewhere(metadata: Message):
    """To files of the same version that this checkout has; pictures to where they are served as such."""
    page = markdown.render(str(metadata.get_payload()))
    assert page
    # Headings link to themselves.
    links = [link for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', page) if not link.startswith("#")]
    pictures = re.findall(r'<img\b[^>]*\bsrc="([^"]+)"', page)
    assert pictures
    assert [link for link in links + pictures if urlsplit(link).scheme not in ("http", "https")] == []
    blob = f"{PUBLISHED}/blob/v{metadata['Version']}/"
    raw = f"{PUBLISHED.replace('github.com', 'raw.githubusercontent.com')}/v{metadata['Version']}/"
    ours = [link.removeprefix(blob) for link in links if link.startswith(blob)]
    assert "docs/architecture.md" in ours
    ours += [link.removeprefix(raw) for link in pictures]
    assert [name for name in ours if not (ROOT / name.partition("#")[0]).exists()] == []
