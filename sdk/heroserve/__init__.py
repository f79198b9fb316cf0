"""Client of heroserve: ask questions about high-resolution images, pay for the tokens that matter."""

from importlib.metadata import version

from heroserve.aio import AsyncClient
from heroserve.client import Client
from heroserve.errors import (
    ArgumentError,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    HeroserveError,
    ImageError,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from heroserve.explanation import Explanation
from heroserve.images import ImageSource, image_digest
from heroserve.limits import MAX_MESSAGE_BYTES
from heroserve.requests import (
    BudgetOptions,
    EncodeOptions,
    GenerateOptions,
    RowDtype,
    assistant,
    generate_request,
    system,
    user,
)
from heroserve.results import Answer, Timings, Usage
from heroserve.retry import RetryPolicy
from heroserve.savings import Savings
from heroserve.streams import AsyncStream, Stream
from heroserve.terms import CallOptions
from heroserve.token_streams import AsyncTokenStream, TokenStream
from heroserve.v1.chat_pb2 import ChatDescription, GenerateRequest, Message
from heroserve.v1.encoder_pb2 import EncodeChunk, EncoderDescription, VisualTokens
from heroserve.v1.tokens_pb2 import Image

__version__ = version("heroserve")

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Answer",
    "ArgumentError",
    "AsyncClient",
    "AsyncStream",
    "AsyncTokenStream",
    "BudgetOptions",
    "CallOptions",
    "Cancelled",
    "ChatDescription",
    "Client",
    "DeadlineExceeded",
    "EncodeChunk",
    "EncodeOptions",
    "EncoderDescription",
    "Explanation",
    "FailedPrecondition",
    "GenerateOptions",
    "GenerateRequest",
    "HeroserveError",
    "Image",
    "ImageError",
    "ImageSource",
    "Internal",
    "InvalidArgument",
    "Message",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "RetryPolicy",
    "RowDtype",
    "Savings",
    "Stream",
    "Timings",
    "TokenStream",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Usage",
    "VisualTokens",
    "__version__",
    "assistant",
    "generate_request",
    "image_digest",
    "system",
    "user",
]
