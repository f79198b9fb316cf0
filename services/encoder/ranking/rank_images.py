"""From one pass of the tower to each image's ranked tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from services.common.errors import FailedPrecondition
from services.common.finite import not_finite
from services.common.rows import RowDtype, pack, row_dtype
from services.common.threads import one_thread
from services.encoder.hero import HeroConfig, order_tiles, patch_scores, saliency_cosines
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.tower import TowerOutput

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def rank_images(
    output: TowerOutput, masks: Sequence[Mask], config: HeroConfig, dtype: RowDtype | None = None
) -> list[RankedImage]:
    """As ``rank_each``, of images that are all to be ranked.

    Raises:
        FailedPrecondition: values of one of them are not finite.
    """
    images = []
    for image in rank_each(output, masks, config, dtype):
        if isinstance(image, FailedPrecondition):
            raise image
        images.append(image)
    return images


# The order is found in hundreds of steps, each of them next to nothing.
@one_thread()
def rank_each(
    output: TowerOutput, masks: Sequence[Mask], config: HeroConfig, dtype: RowDtype | None = None
) -> list[RankedImage | FailedPrecondition]:
    """Put each tile's rows of a batch in order, all tiles at once, and split them into their images.

    An image whose values are not finite is answered by an error, and the others of its batch go on.

    Args:
        output: the tower's, over the tiles of all images one after the other.
        masks: for each image bool [1 + K, N], False for padding.
        config: which layers score which tile, and the order.
        dtype: of the rows; by default the tower's.
    """
    starts = accumulate(map(len, masks), initial=0)
    spans = [slice(start, start + len(mask)) for start, mask in zip(starts, masks, strict=False)]
    valid = torch.tensor(np.concatenate(masks), device=output.features.device)
    scores = torch.cat([patch_scores(output.cls_attention[:, tiles], config) for tiles in spans])
    order = order_tiles(scores, output.features, valid, config)
    images: list[RankedImage | FailedPrecondition] = []
    for tiles in spans:
        try:
            images.append(_rank_image(output, tiles, scores[tiles], valid[tiles], order[tiles], dtype))
        except FailedPrecondition as error:
            images.append(error)
    return images


def _rank_image(
    output: TowerOutput,
    tiles: slice,
    scores: torch.Tensor,
    valid: torch.Tensor,
    order: Sequence[torch.Tensor],
    dtype: RowDtype | None,
) -> RankedImage:
    features = output.features[tiles]
    saliency = saliency_cosines(output.cls[tiles])
    embedding = output.embedding[tiles]
    # Of an image that is its thumbnail alone there is nothing else to tell how well it fits a question.
    relevance = embedding[1:] if len(embedding) > 1 else embedding
    # Here, of all that is about to be cached: what is not finite would be so for a day, and answers nonsense.
    if not all(bool(values.isfinite().all()) for values in (features[valid], scores[valid], saliency)):
        raise not_finite("vision tower", "image", features.dtype)
    if not bool(relevance.isfinite().all()):
        raise not_finite("relevance model", "image", features.dtype, "HEROSERVE_RELEVANCE_MODEL")
    rows = torch.cat([features[tile, positions] for tile, positions in enumerate(order)]).cpu()
    dtype = dtype or row_dtype(rows.dtype)
    return RankedImage(
        valid=valid.sum(dim=1).cpu().numpy(),
        positions=torch.cat(list(order)).cpu().numpy().astype(np.uint16),
        rows=pack(rows, dtype),
        dtype=dtype,
        feature_width=rows.shape[1],
        saliency_cos=saliency.cpu().numpy(),
        relevance=relevance.cpu().numpy(),
    )
