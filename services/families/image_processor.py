"""A checkpoint's image processor, as transformers reads it: there is no parser of ours to disagree with it."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import Any

from transformers import AutoImageProcessor
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_base import ImageProcessingMixin
from transformers.image_utils import SizeDict
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.shown import first_line

# What is raised of a value of a kind that nobody thought of: transformers checks few of them, and late.
FAULTS = (ArithmeticError, AttributeError, ImportError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)

_FILE, _NEWER = "preprocessor_config.json", "processor_config.json"

_short = Repr()
_short.maxstring = _short.maxother = 80


def image_processor(source: Checkpoint) -> Any:
    """The checkpoint's image processor, on Pillow, with the attributes that transformers gives it.

    From processor_config.json where that has one, else from preprocessor_config.json.

    Raises:
        SettingError: it has none, or one that transformers doesn't know or can't make.
    """
    for file in ("processor_config.json", "preprocessor_config.json"):
        source.path(file)  # which says so if it only stands for another
    folder = str(source.folder)
    try:
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    except (OSError, *FAULTS) as error:
        # Of a file that is none, transformers says that it is not on the hub.
        if source.path(_NEWER) is not None:
            source.json(_NEWER)
        source.json(_FILE)
        if isinstance(error, OSError):
            if source.path(_FILE) is None:
                raise source.unusable(f"it has no {_FILE}, nor an image_processor in {_NEWER}") from error
            raise source.unusable(f"its image processor can't be read ({first_line(error)})") from error
        culprit = _culprit(source)
        unknown = "transformers knows no such image processor"
        raise faulty(source, culprit, unknown if [*culprit] == ["image_processor_type"] else error) from error
    for name, value in vars(processor).items():
        # Whatever stands in the file becomes an attribute.
        if callable(getattr(type(processor), name, None)):
            raise faulty(source, {name: value}, "that is what it does, not a value of it")
    return processor


def tile_by_tile(processor: Any) -> bool:
    """It resizes and crops a picture of a tile's size as a CLIP's does; LLaVA-NeXT's does so to each tile."""
    kind = type(processor)
    return getattr(kind, "_preprocess", None) is PilBackend._preprocess or kind is LlavaNextImageProcessorPil


def check_sizes(processor: Any, edge: int, source: Checkpoint) -> None:
    """That its sizes say ``edge`` pixels wherever they say something; before anything is made of such a size.

    Raises:
        SettingError: they say something else.
    """
    edges = {"size": ("height", "width", "shortest_edge"), "crop_size": ("height", "width")}
    if not processor.do_center_crop:
        edges["crop_size"] = ("height",)  # of LLaVA-NeXT's local tiles, all the same
    for name, names in edges.items():
        size = getattr(processor, name)
        if size is not None and any(size.get(each, edge) != edge for each in names):
            raise faulty(source, {name: size}, f"the tower takes {edge} pixels, its image_size")


def resizing(processor: Any) -> dict[str, Any]:
    """All that says how large its pictures become."""
    return {name: getattr(processor, name) for name in ("do_resize", "size", "do_center_crop", "crop_size")}


def faulty(source: Checkpoint, values: Mapping[str, Any], problem: str | Exception) -> SettingError:
    """What to raise of these values of an image processor."""
    if isinstance(problem, Exception):
        problem = f"transformers can't use that ({type(problem).__name__}: {first_line(problem)})"
    told = ", ".join(
        f"{name}={_short.repr(dict(value) if isinstance(value, SizeDict) else value)}" for name, value in values.items()
    )
    return source.unusable(f"its image processor has {told}: {problem}" if told else f"its image processor: {problem}")


def _culprit(source: Checkpoint) -> dict[str, Any]:
    """The value without which an image processor can be made of its file; its type, if it can be made with all."""
    try:
        values, _ = ImageProcessingMixin.get_image_processor_dict(str(source.folder))
    except FAULTS:  # which is then the very fault that is told of
        return {}
    if not isinstance(values, dict):
        return {"image_processor": values}
    for left_out in (None, *values):
        try:
            PilBackend(**{name: value for name, value in values.items() if name != left_out})
        except FAULTS:
            continue
        if left_out is not None:
            return {left_out: values[left_out]}
        break
    return {name: values[name] for name in ("image_processor_type", "auto_map") if name in values} or values
