"""Replicas that start or don't, as files say."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ray.serve import Application

from services.common import deployment, metrics
from services.common.replica import Replica
from services.common.settings import SettingError, Settings


class Picky(Replica[Settings]):
    """Each try leaves a file in ``tries``. ``refusal`` and ``trouble`` beside it say what becomes of it.

    ``refusal`` is a setting that can't be used, ``trouble`` a number of tries in which the hub is out of reach.
    """

    again_s = 0.5

    async def open(self, settings: Settings, *others: Any) -> None:
        self._try(*others)

    def _try(self, folder: str) -> None:
        tries = Path(folder, "tries")
        (tries / str(os.getpid())).touch()
        if Path(folder, "refusal").exists():
            raise SettingError(f"HEROSERVE_MODEL={folder!r}: it is\nrefused")
        if len(list(tries.iterdir())) <= int(Path(folder, "trouble").read_text()):
            raise SettingError("HEROSERVE_MODEL: out of reach") from ConnectionError("nobody there")

    def pid(self) -> int:
        return os.getpid()

    async def block(self) -> None:
        """Keep its loop from everything else."""
        time.sleep(3600)  # noqa: ASYNC251 - that is the fault


def picky(folder: Path, port: int, replicas: int = 1, trouble: int = 0, router: str | None = None) -> Application:
    """An application of those, whose ``tries`` are counted in ``folder``."""
    (folder / "tries").mkdir()
    (folder / "trouble").write_text(str(trouble))
    counts = str(folder / "counts")
    metrics.prepare(counts)
    settings = Settings(
        replica_cpus=0.1,
        metrics_port=port,
        metrics_dir=counts,
        min_replicas=replicas,
        max_replicas=replicas,
        request_timeout_s=5.0,
    )
    return deployment.deploy(Picky, "Picky", settings, router=router).bind(settings, str(folder))
