"""From one pass of the tower to each image's ranked tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from services.common.errors import FailedPrecondition
from services.common.finite import not_finite
from services.common.rows import RowDtype, pack, row_dtype
from services.encoder.hero import HeroConfig, patch_scores, rank, saliency_cosines
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


def rank_each(
    output: TowerOutput, masks: Sequence[Mask], config: HeroConfig, dtype: RowDtype | None = None
) -> list[RankedImage | FailedPrecondition]:
    """Split a batch's output into its images and sort each tile's rows by score.

    An image whose values are not finite is answered by an error, and the others of its batch go on.

    Args:
        output: the tower's, over the tiles of all images one after the other.
        masks: for each image bool [1 + K, N], False for padding.
        config: which layers score which tile.
        dtype: of the rows; by default the tower's.
    """
    images: list[RankedImage | FailedPrecondition] = []
    start = 0
    for mask in masks:
        tiles = slice(start, start + len(mask))
        start = tiles.stop
        try:
            images.append(_rank_image(output, tiles, torch.tensor(mask, device=output.features.device), config, dtype))
        except FailedPrecondition as error:
            images.append(error)
    return images


def _rank_image(
    output: TowerOutput, tiles: slice, valid: torch.Tensor, config: HeroConfig, dtype: RowDtype | None
) -> RankedImage:
    scores = patch_scores(output.cls_attention[:, tiles], config)
    order = [rank(score, mask) for score, mask in zip(scores, valid, strict=True)]
    features = output.features[tiles]
    rows = torch.cat([features[tile, positions] for tile, positions in enumerate(order)])
    saliency = saliency_cosines(output.cls[tiles])
    relevance = output.embedding[tiles][1:]
    # Here, of all that is about to be cached: what is not finite would be so for a day, and answers nonsense.
    if not all(bool(values.isfinite().all()) for values in (rows, scores[valid], saliency)):
        raise not_finite("vision tower", "image", features.dtype)
    if not bool(relevance.isfinite().all()):
        raise not_finite("relevance model", "image", features.dtype, "HEROSERVE_RELEVANCE_MODEL")
    rows = rows.cpu()
    dtype = dtype or row_dtype(rows.dtype)
    return RankedImage(
        valid=valid.sum(dim=1).cpu().numpy(),
        positions=torch.cat(order).cpu().numpy().astype(np.uint16),
        rows=pack(rows, dtype),
        dtype=dtype,
        feature_width=rows.shape[1],
        saliency_cos=saliency.cpu().numpy(),
        relevance=relevance.cpu().numpy(),
    )
