"""HERO (arXiv 2509.13067): which visual tokens of a tiled image to keep, as pure functions of tensors.

T tiles an image, of which tile 0 is the thumbnail and K = T - 1 are local; N patches a tile.
Nothing here knows of services, caches or images.
"""

from .allocate import allocate
from .base import allocate_with_base
from .budget import TokenBudget, token_budget
from .config import HeroConfig
from .importance import importance_terms, saliency_cosines, tile_importance, weigh_terms
from .order import order_tiles
from .rank import rank
from .scores import patch_scores

__all__ = [
    "HeroConfig",
    "TokenBudget",
    "allocate",
    "allocate_with_base",
    "importance_terms",
    "order_tiles",
    "patch_scores",
    "rank",
    "saliency_cosines",
    "tile_importance",
    "token_budget",
    "weigh_terms",
]
