"""The checkpoints that the encoder reads, by its settings. Imported without torch: a bad name is told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.shown import assigned
from services.encoder.settings import EncoderSettings


@dataclass(frozen=True)
class Sources:
    """What is loaded: the model, and the CLIP that compares tiles with questions; None where relevance is off."""

    model: Checkpoint
    relevance: Checkpoint | None


def look(settings: EncoderSettings) -> None:
    """What can be told of their names without a hub, and of their configs.

    Raises:
        SettingError: one can't be used.
    """
    model(settings).look()
    clip = relevance_model(settings)
    if clip is not None:
        _otherwise(clip.look)


def settle(clip: Checkpoint) -> None:
    """Which files the relevance model's name stands for.

    Raises:
        SettingError: there are none.
    """
    _otherwise(lambda: clip.snapshot)


def model(settings: EncoderSettings) -> Checkpoint:
    return Checkpoint(settings.model, "HEROSERVE_MODEL", settings.revision)


def relevance_model(settings: EncoderSettings) -> Checkpoint | None:
    """The CLIP that compares tiles with questions; None where relevance is switched off.

    Raises:
        SettingError: it is switched off, and a revision of it is asked for.
    """
    if settings.relevance is not None:
        return Checkpoint(settings.relevance, "HEROSERVE_RELEVANCE_MODEL", settings.relevance_revision)
    if settings.relevance_revision:
        raise SettingError(
            f"{assigned('HEROSERVE_RELEVANCE_REVISION', settings.relevance_revision)}: "
            "HEROSERVE_RELEVANCE_MODEL is 'none', which has no revisions; leave it blank"
        )
    return None


def _otherwise(look: Callable[[], object]) -> None:
    try:
        look()
    except SettingError as error:
        raise SettingError(
            f"{error}; name another CLIP, or HEROSERVE_RELEVANCE_MODEL=none to share tokens out without relevance"
        ) from error
