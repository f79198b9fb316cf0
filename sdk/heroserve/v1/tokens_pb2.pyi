from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Image(_message.Message):
    __slots__ = ("data", "digest")
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    digest: str
    def __init__(self, data: _Optional[bytes] = ..., digest: _Optional[str] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("retention", "max_visual_tokens")
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    MAX_VISUAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    retention: float
    max_visual_tokens: int
    def __init__(self, retention: _Optional[float] = ..., max_visual_tokens: _Optional[int] = ...) -> None: ...

class Savings(_message.Message):
    __slots__ = ("total", "kept", "dropped", "prefill_flops", "kv_cache_bytes")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    PREFILL_FLOPS_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    total: int
    kept: int
    dropped: int
    prefill_flops: float
    kv_cache_bytes: int
    def __init__(self, total: _Optional[int] = ..., kept: _Optional[int] = ..., dropped: _Optional[int] = ..., prefill_flops: _Optional[float] = ..., kv_cache_bytes: _Optional[int] = ...) -> None: ...
