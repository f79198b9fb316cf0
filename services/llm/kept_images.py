"""Images that come before they are asked about: the encoder keeps what it makes of them, and here nothing is kept."""

from __future__ import annotations

from heroserve.images import image_digest
from services.common.errors import Unavailable
from services.llm.encoded import ImageEncoder
from services.llm.job import ImagePart
from services.llm.refusal import Role

# An encoder wants a question, and none changes what is kept.
_QUESTION = "?"
_IMAGE, _DIGEST = Role("image_data"), Role("image_digest")


class KeptImages:
    """In the encoder's cache, for the scope of the request that is served.

    Args:
        encoder: whose.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder

    async def keep(self, data: bytes) -> str:
        """Have an image encoded and kept; its digest, by which it may then be asked about.

        Raises:
            Refusal: it is no image that can be used.
            ServiceError: the encoder could not serve it.
            Unavailable: nothing is kept now.
        """
        planned = await self._encoder.plan(_IMAGE, ImagePart(data=data), _QUESTION, None)
        if planned.cache == "bypass":
            raise Unavailable(
                "the encoder's cache can't keep this image now (it is out of reach, or too small for it); "
                "send the image with the question"
            )
        return image_digest(data)

    async def check(self, digest: str) -> None:
        """Raises:
        Refusal: that image is not kept.
        ServiceError: the encoder could not tell.
        """
        await self._encoder.plan(_DIGEST, ImagePart(digest=digest), _QUESTION, None)
