"""Where exported language models are kept: each in a folder that is called what it is of, whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from services.common.checkpoint import Checkpoint
from services.common.identity import identify
from services.common.settings import SettingError
from services.common.shown import assigned, first_line
from services.common.weights.load import META, load_pretrained
from services.common.weights.stored import StoredTensor, stored_tensors
from services.families.family import LanguageHalf
from services.llm.export.files import write_files
from services.llm.export.weights import size_of, write_weights
from services.llm.language_model import language_model

VARIABLE = "HEROSERVE_EXPORT_DIR"
# Of what is written: another one is another folder.
_VERSION = 1

logger = logging.getLogger(__name__)


def exported(half: LanguageHalf, source: Checkpoint, parent: Path, variable: str = VARIABLE) -> Path:
    """The folder of a checkpoint's language model, written now if it is not there.

    It is called what it holds, so that no other checkpoint gets it, and neither one whose tokenizer or generation
    config was changed. Who is killed leaves a folder under another name, which the next one removes; who comes second
    waits for the first.

    Args:
        half: the checkpoint's.
        source: the checkpoint.
        parent: of all such folders.
        variable: the setting, or argument, that names it.

    Raises:
        SettingError: it can't be written there, or the checkpoint can't be read.
    """
    with _refusing(variable, parent), tempfile.TemporaryDirectory() as small:
        write_files(half, source, Path(small))
        name = f"{half.config.model_type}-{identify(source).replace(':', '-')}-{_digest(Path(small))}"
        parent.mkdir(parents=True, exist_ok=True)
        folder = parent / name
        with _alone(parent / f".{name}.lock"):
            if not folder.is_dir():
                _write(half, source, Path(small), folder)
    return folder


def export(half: LanguageHalf, source: Checkpoint, folder: Path, variable: str, template: str = "") -> None:
    """Write it to ``folder`` itself, which is not there yet; ``template`` goes before the checkpoint's own.

    Raises:
        SettingError: as above.
    """
    with _refusing(variable, folder), tempfile.TemporaryDirectory() as small:
        write_files(half, source, Path(small), template)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _write(half, source, Path(small), folder)


def _write(half: LanguageHalf, source: Checkpoint, small: Path, folder: Path) -> None:
    weights = _weights(half, source)
    size = sum(map(size_of, weights.values()))
    for left in folder.parent.glob(f".{folder.name}.*.part"):
        # Its writer held what we hold now.
        shutil.rmtree(left, ignore_errors=True)
    free = shutil.disk_usage(folder.parent).free
    if size > free:
        raise OSError(f"the language model takes {size / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free")
    logger.info("writing the language model of %r, %.3g GB, to %s", source.name, size / 1e9, folder)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        shutil.copytree(small, part, dirs_exist_ok=True)
        write_weights(weights, part)
        # A folder of a cache may be others' too.
        part.chmod(0o755)
        for file in part.iterdir():
            file.chmod(0o644)
            _settle(file)
        part.rename(folder)
        _settle(folder.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _weights(half: LanguageHalf, source: Checkpoint) -> dict[str, StoredTensor]:
    """Those that the model has.

    Raises:
        SettingError: they do not fit the config, or are quantised.
    """
    weights = stored_tensors(source, half.language_weight)
    load_pretrained(language_model(half.config), half.config, weights, source, META, torch.float32)
    return weights


def _digest(folder: Path) -> str:
    """Of its files, short: it tells them from others of the same weights."""
    whole = hashlib.sha256(f"{_VERSION}\n".encode())
    for file in sorted(folder.iterdir()):
        whole.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:12]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process is in here; one that dies has left."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _settle(path: Path) -> None:
    """On the disk, before it gets the name by which it is whole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _refusing(variable: str, path: Path) -> Iterator[None]:
    """What keeps it from being written, in a line about what named ``path``."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise SettingError(
            f"{assigned(variable, str(path))}: the language model can't be written there ({reason})"
        ) from error
