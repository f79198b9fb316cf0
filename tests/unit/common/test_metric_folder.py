"""HEROSERVE_METRICS_DIR may be any folder: what others put there, or have there, stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.common import health, metric_folder, metrics, node
from services.common.settings import SettingError, Settings
from services.llm.settings import LlmSettings

# Of names that our processes, or Prometheus's client in another program's, would give them too.
NAMES = (
    "counter_1.db",
    "gauge_all_7.db",
    "folded.json",
    "folded.lock",
    "ready",
    "notes.db",
    "thesis.txt",
    "1/counter_2.db",
)
COUNTS = "from services.common.metrics import Counter; Counter('things_total', 'Things.').inc(); print('counted')"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")


def fill(folder: Path) -> dict[str, bytes]:
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"of the user: {name}".encode())
    return held(folder)


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def count(folder: str) -> subprocess.CompletedProcess[str]:
    """As a replica does."""
    environment = {**os.environ, metric_folder.VARIABLE: folder}
    return subprocess.run([sys.executable, "-c", COUNTS], env=environment, capture_output=True, text=True, check=False)


def test_a_folder_of_the_users_is_as_it_was_after_a_run(tmp_path: Path) -> None:
    files = fill(tmp_path)
    settings = LlmSettings(metrics_dir=str(tmp_path))
    for _ in range(2):
        metrics.prepare(settings.metrics_folder)
        health.mark(settings)
        assert count(settings.metrics_folder).stdout == "counted\n"
        assert len(held(tmp_path)) > len(files)
        metrics.remove(settings.metrics_folder)
        assert held(tmp_path) == files
        assert not Path(settings.metrics_folder).exists()


def test_what_an_earlier_run_left_goes_and_what_others_put_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    metrics.prepare(str(folder))
    ours = ("counter_1.db", "histogram_folded-3.db", "gauge_livesum_9.db", "folded.json", "folded.json.new", "ready")
    for name in ours:
        (folder / name).write_bytes(b"")
    others = ("notes.db", "counter_1.db.bak", "counter_x.db", "my-folded.json")
    for name in others:
        (folder / name).write_text("stays")
    (folder / "counter_2.db").mkdir()
    stays = {*others, "counter_2.db", metric_folder.MARK}
    for end in (metrics.prepare, metrics.remove):
        end(str(folder))
        assert set(os.listdir(folder)) == stays
    metrics.prepare(str(folder))


def test_our_name_is_taken_by_files_of_somebody_else(tmp_path: Path) -> None:
    settings = LlmSettings(metrics_dir=str(tmp_path))
    files = fill(Path(settings.metrics_folder))
    with pytest.raises(SettingError, match=r"^HEROSERVE_METRICS_DIR: .* has files that heroserve did not make \(1\); "):
        metrics.prepare(settings.metrics_folder)
    # Nor does a replica that is given it, or whoever stops.
    assert "SettingError: HEROSERVE_METRICS_DIR: " in count(settings.metrics_folder).stderr
    metrics.remove(settings.metrics_folder)
    assert held(Path(settings.metrics_folder)) == files


@pytest.mark.parametrize("of", ["named", "ours"])
def test_a_link_is_not_followed(tmp_path: Path, of: str) -> None:
    real = tmp_path / "real"
    real.mkdir()
    files = fill(real)
    named = tmp_path / "named"
    settings = LlmSettings(metrics_dir=str(named))
    if of == "named":
        named.symlink_to(real)
    else:
        named.mkdir()
        Path(settings.metrics_folder).symlink_to(real)
    with pytest.raises(SettingError, match=rf"^HEROSERVE_METRICS_DIR: \S+ is a link to {real}; "):
        metrics.prepare(settings.metrics_folder)
    assert count(settings.metrics_folder).returncode == 1
    metrics.remove(settings.metrics_folder)
    assert held(real) == files


def test_a_marked_folder_behind_a_link_is_not_removed(tmp_path: Path) -> None:
    metrics.prepare(str(tmp_path / "other" / "real"))
    (tmp_path / "other" / "real" / "ready").touch()
    (tmp_path / "link").symlink_to(tmp_path / "other" / "real")
    metrics.remove(str(tmp_path / "link"))
    assert (tmp_path / "other" / "real" / "ready").exists()


def test_a_link_among_our_files_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    metrics.prepare(str(tmp_path / "ours"))
    (tmp_path / "precious").write_text("stays")
    for name in ("counter_1.db", "folded.json.new", "folded.lock", "ready"):
        (tmp_path / "ours" / name).symlink_to(tmp_path / "precious")
    metrics.prepare(str(tmp_path / "ours"))
    assert os.listdir(tmp_path / "ours") == [metric_folder.MARK]
    assert (tmp_path / "precious").read_text() == "stays"


@needs_root
@pytest.mark.parametrize("of", ["named", "ours"])
def test_another_users_folder_is_refused(tmp_path: Path, of: str) -> None:
    """Who made it first, at a name that can be guessed, could put anything in our folder's place."""
    settings = LlmSettings(metrics_dir=str(tmp_path / "named"))
    metrics.prepare(settings.metrics_folder)
    os.chown(settings.metrics_dir if of == "named" else settings.metrics_folder, 12345, 12345)
    with pytest.raises(SettingError, match=r"belongs to another user \(uid 12345\); name a folder of your own$"):
        metrics.prepare(settings.metrics_folder)
    assert "uid 12345" in count(settings.metrics_folder).stderr


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    metrics.prepare(str(tmp_path / "ours"))
    (tmp_path / "ours").chmod(mode)
    with pytest.raises(SettingError, match="may be written by others"):
        metrics.prepare(str(tmp_path / "ours"))


def test_it_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        metrics.prepare(str(tmp_path / "named" / "ours"))
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "named", tmp_path / "named" / "ours")] == [0o700, 0o700]


@pytest.mark.parametrize("place", ["named", "ours", "parent"])
def test_a_file_in_its_place_is_one_line(tmp_path: Path, place: str) -> None:
    path = {"parent": tmp_path / "file", "named": tmp_path / "file" / "x", "ours": tmp_path / "file" / "x" / "y"}[place]
    (tmp_path / "file").write_text("stays")
    with pytest.raises(SettingError, match=r"^HEROSERVE_METRICS_DIR: [^\n]+$"):
        metrics.prepare(str(path))
    assert (tmp_path / "file").read_text() == "stays"


def test_many_processes_may_begin_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "named" / "ours"
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(metric_folder.own, folder) for _ in range(64)]:
            future.result()
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(count, [str(folder)] * 4))
    assert [process.stdout for process in ended] == ["counted\n"] * 4, ended[0].stderr


def test_two_services_in_one_folder_have_each_their_own() -> None:
    ours = {cls(metrics_dir="/x").metrics_folder for cls in (Settings, LlmSettings)}
    assert len(ours) == 2
    assert all(Path(folder).parent == Path("/x") for folder in ours)


def test_another_programs_folder_in_the_shell_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own process counts nothing, and leaves it alone; its replicas are given theirs."""
    files = fill(tmp_path)
    environment = {**os.environ, metric_folder.VARIABLE: str(tmp_path)}
    code = (
        "from services.common import node; node.set_environment(); from services.common import metrics; print('fine')"
    )
    started = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert started.stdout == "fine\n", started.stderr
    assert held(tmp_path) == files
    monkeypatch.setattr(os, "environ", {metric_folder.VARIABLE: "/x"})
    node.set_environment()
    assert metric_folder.VARIABLE not in os.environ
