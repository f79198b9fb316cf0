from heroserve.v1 import encoder_pb2 as _encoder_pb2
from heroserve.v1 import tokens_pb2 as _tokens_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GenerateRequest(_message.Message):
    __slots__ = ("messages", "budget", "sampling", "replan", "share_budget", "explain")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    REPLAN_FIELD_NUMBER: _ClassVar[int]
    SHARE_BUDGET_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    budget: _tokens_pb2.Budget
    sampling: Sampling
    replan: bool
    share_budget: bool
    explain: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., budget: _Optional[_Union[_tokens_pb2.Budget, _Mapping]] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., replan: bool = ..., share_budget: bool = ..., explain: bool = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("role", "parts")
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROLE_UNSPECIFIED: _ClassVar[Message.Role]
        SYSTEM: _ClassVar[Message.Role]
        USER: _ClassVar[Message.Role]
        ASSISTANT: _ClassVar[Message.Role]
    ROLE_UNSPECIFIED: Message.Role
    SYSTEM: Message.Role
    USER: Message.Role
    ASSISTANT: Message.Role
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    role: Message.Role
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    def __init__(self, role: _Optional[_Union[Message.Role, str]] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("text", "image")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    image: _tokens_pb2.Image
    def __init__(self, text: _Optional[str] = ..., image: _Optional[_Union[_tokens_pb2.Image, _Mapping]] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("max_tokens", "temperature", "top_p", "seed", "stop", "json_schema")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    json_schema: str
    def __init__(self, max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., json_schema: _Optional[str] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("delta", "finish_reason", "usage", "savings", "timings", "explanations")
    class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FINISH_REASON_UNSPECIFIED: _ClassVar[GenerateResponse.FinishReason]
        STOP: _ClassVar[GenerateResponse.FinishReason]
        LENGTH: _ClassVar[GenerateResponse.FinishReason]
    FINISH_REASON_UNSPECIFIED: GenerateResponse.FinishReason
    STOP: GenerateResponse.FinishReason
    LENGTH: GenerateResponse.FinishReason
    DELTA_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    SAVINGS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    delta: str
    finish_reason: GenerateResponse.FinishReason
    usage: Usage
    savings: _tokens_pb2.Savings
    timings: ChatTimings
    explanations: _containers.RepeatedCompositeFieldContainer[Explanation]
    def __init__(self, delta: _Optional[str] = ..., finish_reason: _Optional[_Union[GenerateResponse.FinishReason, str]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., savings: _Optional[_Union[_tokens_pb2.Savings, _Mapping]] = ..., timings: _Optional[_Union[ChatTimings, _Mapping]] = ..., explanations: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("image_digest", "question", "grid", "tiles", "savings")
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    SAVINGS_FIELD_NUMBER: _ClassVar[int]
    image_digest: str
    question: str
    grid: _encoder_pb2.Grid
    tiles: _containers.RepeatedCompositeFieldContainer[_encoder_pb2.Tile]
    savings: _tokens_pb2.Savings
    def __init__(self, image_digest: _Optional[str] = ..., question: _Optional[str] = ..., grid: _Optional[_Union[_encoder_pb2.Grid, _Mapping]] = ..., tiles: _Optional[_Iterable[_Union[_encoder_pb2.Tile, _Mapping]]] = ..., savings: _Optional[_Union[_tokens_pb2.Savings, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_text_tokens", "prompt_visual_tokens", "prompt_newline_tokens", "completion_tokens", "prompt_cached_tokens")
    PROMPT_TEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VISUAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_NEWLINE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_text_tokens: int
    prompt_visual_tokens: int
    prompt_newline_tokens: int
    completion_tokens: int
    prompt_cached_tokens: int
    def __init__(self, prompt_text_tokens: _Optional[int] = ..., prompt_visual_tokens: _Optional[int] = ..., prompt_newline_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., prompt_cached_tokens: _Optional[int] = ...) -> None: ...

class ChatTimings(_message.Message):
    __slots__ = ("encode", "time_to_first_token", "total")
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    encode: float
    time_to_first_token: float
    total: float
    def __init__(self, encode: _Optional[float] = ..., time_to_first_token: _Optional[float] = ..., total: _Optional[float] = ...) -> None: ...

class DescribeChatRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChatDescription(_message.Message):
    __slots__ = ("model", "engine", "context_length", "default_max_tokens", "max_images", "newlines", "position_ids", "trained", "encoder", "version", "checkpoint", "examples")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGES_FIELD_NUMBER: _ClassVar[int]
    NEWLINES_FIELD_NUMBER: _ClassVar[int]
    POSITION_IDS_FIELD_NUMBER: _ClassVar[int]
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    model: str
    engine: str
    context_length: int
    default_max_tokens: int
    max_images: int
    newlines: str
    position_ids: str
    trained: bool
    encoder: _encoder_pb2.EncoderDescription
    version: str
    checkpoint: str
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., engine: _Optional[str] = ..., context_length: _Optional[int] = ..., default_max_tokens: _Optional[int] = ..., max_images: _Optional[int] = ..., newlines: _Optional[str] = ..., position_ids: _Optional[str] = ..., trained: bool = ..., encoder: _Optional[_Union[_encoder_pb2.EncoderDescription, _Mapping]] = ..., version: _Optional[str] = ..., checkpoint: _Optional[str] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...
