"""What the command line asks about: a checkpoint, a picture, and what a request is at each retention."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from scripts.sizing.curve import Point, point
from scripts.sizing.model import Model, Picture
from services.common.checkpoint import Checkpoint
from services.common.device import DTYPES
from services.common.settings import BUNDLED_MODEL, SettingError
from services.families.family import CutError


class Refused(ValueError):
    """It can't be; the message is a line that names the option and what to do."""


@dataclass(frozen=True)
class Asked:
    """Args:
    model: the checkpoint's.
    picture: what ``--image`` becomes.
    points: of each ``--retention``.
    """

    model: Model
    picture: Picture
    points: list[Point]

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(each.prompt for each in self.points)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Asked:
        """Of the arguments of ``options.add_request``. Raises Refused."""
        name = BUNDLED_MODEL if options.model == "bundled" else options.model
        source = Checkpoint(name, "MODEL", options.revision, revision_variable="--revision")
        width, height = options.image
        try:
            model = Model.of(source, DTYPES[options.dtype])
            picture = model.picture(width, height)
        except SettingError as error:
            raise Refused(str(error)) from error
        except CutError as error:
            raise Refused(f"--image: it {error}") from error
        points = [point(model, picture, each, options.text, options.answer) for each in options.retention]
        asked = cls(model, picture, points)
        if asked.longest + options.answer > model.context_length:
            raise Refused(
                f"--text, --answer: {asked.longest + options.answer} tokens with the picture's, of which the model "
                f"reads {model.context_length}; lower them, or --retention"
            )
        return asked
