"""``python -m services.encoder.fetch``, ``services.llm.fetch``: what a service reads of its models, fetched beforehand.

For a volume that many read (``HF_HOME``), so that none of them needs the hub. It is the service's own check at its
start, so that what is fetched is what will be asked for, of each repository there is. Again, or with HF_HUB_OFFLINE=1,
it tells whether all is there.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import constants

from services.common import deployment, logs
from services.common.settings import SettingError, Settings

T = TypeVar("T", bound=Settings)

logger = logging.getLogger(__name__)


def main(kind: type[T], check: Callable[[T], object]) -> None:
    """Ends with status 1 and one line where something can't be had, or can't be served.

    Args:
        kind: of settings, read from the environment.
        check: opens all models that a service of these settings reads, and nothing else of it.
    """
    logs.settle()
    try:
        settings = deployment.settings(kind, None)
        logs.check(settings.log_file)
        logs.configure(settings.log_level, settings.log_format, settings.log_file)
        check(settings)
    except SettingError as error:
        sys.exit(f"heroserve: {error}")
    logger.info("all that %s reads of its models is in %s", settings.name, constants.HF_HUB_CACHE)
