"""One dimension of an annotation: how many embeddings an image has may differ between the requests of a step."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import torch

logger = logging.getLogger("vllm.heroserve")


def mend() -> None:
    """Called by vLLM in each of its processes, and it may be more than once. A vLLM without LLaVA is left as it is."""
    try:
        from vllm.model_executor.models import llava_next
        from vllm.utils.tensor_schema import TensorShape
    except ImportError as error:
        logger.warning("heroserve: LLaVA-NeXT can't be loaded here, and is not mended: %s", error)
        return
    schema: Any = llava_next.LlavaNextImageEmbeddingInputs
    if not takes_any_length(schema):
        shape = TensorShape("bn", "ifs", "hs", dynamic_dims={"ifs"})
        schema.__annotations__["data"] = Annotated[torch.Tensor | list[torch.Tensor], shape]


def takes_any_length(schema: Any) -> bool:
    """Whether it takes two images of different lengths, as a batch of two requests has them."""
    try:
        schema(type="image_embeds", data=[torch.zeros(2, 4), torch.zeros(3, 4)])
    except ValueError:
        return False
    return True
