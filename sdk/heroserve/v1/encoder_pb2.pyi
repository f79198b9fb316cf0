from heroserve.v1 import tokens_pb2 as _tokens_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EncodeRequest(_message.Message):
    __slots__ = ("image", "question", "budget", "explain", "plan_only", "with_base", "rows")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    PLAN_ONLY_FIELD_NUMBER: _ClassVar[int]
    WITH_BASE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    image: _tokens_pb2.Image
    question: str
    budget: _tokens_pb2.Budget
    explain: bool
    plan_only: bool
    with_base: bool
    rows: Features.DType
    def __init__(self, image: _Optional[_Union[_tokens_pb2.Image, _Mapping]] = ..., question: _Optional[str] = ..., budget: _Optional[_Union[_tokens_pb2.Budget, _Mapping]] = ..., explain: bool = ..., plan_only: bool = ..., with_base: bool = ..., rows: _Optional[_Union[Features.DType, str]] = ...) -> None: ...

class VisualTokens(_message.Message):
    __slots__ = ("image_digest", "encoder_id", "grid", "tiles", "features", "savings", "cache", "timings", "model", "checkpoint", "relevance")
    class Cache(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CACHE_UNSPECIFIED: _ClassVar[VisualTokens.Cache]
        HIT: _ClassVar[VisualTokens.Cache]
        MISS: _ClassVar[VisualTokens.Cache]
        BYPASS: _ClassVar[VisualTokens.Cache]
    CACHE_UNSPECIFIED: VisualTokens.Cache
    HIT: VisualTokens.Cache
    MISS: VisualTokens.Cache
    BYPASS: VisualTokens.Cache
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SAVINGS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    image_digest: str
    encoder_id: str
    grid: Grid
    tiles: _containers.RepeatedCompositeFieldContainer[Tile]
    features: Features
    savings: _tokens_pb2.Savings
    cache: VisualTokens.Cache
    timings: EncodeTimings
    model: str
    checkpoint: str
    relevance: float
    def __init__(self, image_digest: _Optional[str] = ..., encoder_id: _Optional[str] = ..., grid: _Optional[_Union[Grid, _Mapping]] = ..., tiles: _Optional[_Iterable[_Union[Tile, _Mapping]]] = ..., features: _Optional[_Union[Features, _Mapping]] = ..., savings: _Optional[_Union[_tokens_pb2.Savings, _Mapping]] = ..., cache: _Optional[_Union[VisualTokens.Cache, str]] = ..., timings: _Optional[_Union[EncodeTimings, _Mapping]] = ..., model: _Optional[str] = ..., checkpoint: _Optional[str] = ..., relevance: _Optional[float] = ...) -> None: ...

class EncodeChunk(_message.Message):
    __slots__ = ("tokens", "tile", "data")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    tokens: VisualTokens
    tile: int
    data: bytes
    def __init__(self, tokens: _Optional[_Union[VisualTokens, _Mapping]] = ..., tile: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Grid(_message.Message):
    __slots__ = ("rows", "cols", "patches_per_side", "image_width", "image_height", "window", "tile_size", "token_size", "placement")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    PATCHES_PER_SIDE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    IMAGE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    TILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    rows: int
    cols: int
    patches_per_side: int
    image_width: int
    image_height: int
    window: Window
    tile_size: int
    token_size: int
    placement: Window
    def __init__(self, rows: _Optional[int] = ..., cols: _Optional[int] = ..., patches_per_side: _Optional[int] = ..., image_width: _Optional[int] = ..., image_height: _Optional[int] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., tile_size: _Optional[int] = ..., token_size: _Optional[int] = ..., placement: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("top", "bottom", "left", "right")
    TOP_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    top: int
    bottom: int
    left: int
    right: int
    def __init__(self, top: _Optional[int] = ..., bottom: _Optional[int] = ..., left: _Optional[int] = ..., right: _Optional[int] = ...) -> None: ...

class Tile(_message.Message):
    __slots__ = ("index", "importance", "valid", "positions", "explanation", "base")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    VALID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    index: int
    importance: float
    valid: int
    positions: _containers.RepeatedScalarFieldContainer[int]
    explanation: TileExplanation
    base: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, index: _Optional[int] = ..., importance: _Optional[float] = ..., valid: _Optional[int] = ..., positions: _Optional[_Iterable[int]] = ..., explanation: _Optional[_Union[TileExplanation, _Mapping]] = ..., base: _Optional[_Iterable[int]] = ...) -> None: ...

class TileExplanation(_message.Message):
    __slots__ = ("saliency", "relevance", "density")
    SALIENCY_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    DENSITY_FIELD_NUMBER: _ClassVar[int]
    saliency: float
    relevance: float
    density: float
    def __init__(self, saliency: _Optional[float] = ..., relevance: _Optional[float] = ..., density: _Optional[float] = ...) -> None: ...

class Features(_message.Message):
    __slots__ = ("dtype", "rows", "cols", "data")
    class DType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DTYPE_UNSPECIFIED: _ClassVar[Features.DType]
        FLOAT32: _ClassVar[Features.DType]
        FLOAT16: _ClassVar[Features.DType]
        BFLOAT16: _ClassVar[Features.DType]
        INT8: _ClassVar[Features.DType]
    DTYPE_UNSPECIFIED: Features.DType
    FLOAT32: Features.DType
    FLOAT16: Features.DType
    BFLOAT16: Features.DType
    INT8: Features.DType
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: Features.DType
    rows: int
    cols: int
    data: bytes
    def __init__(self, dtype: _Optional[_Union[Features.DType, str]] = ..., rows: _Optional[int] = ..., cols: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class EncodeTimings(_message.Message):
    __slots__ = ("stages", "total")
    class StagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STAGES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    stages: _containers.ScalarMap[str, float]
    total: float
    def __init__(self, stages: _Optional[_Mapping[str, float]] = ..., total: _Optional[float] = ...) -> None: ...

class DescribeEncoderRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EncoderDescription(_message.Message):
    __slots__ = ("model", "relevance_model", "encoder_id", "tile_size", "patches_per_side", "feature_width", "dtype", "default_retention", "max_image_bytes", "max_image_pixels", "trained", "version", "checkpoint", "row_dtypes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_MODEL_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    TILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PATCHES_PER_SIDE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_RETENTION_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    ROW_DTYPES_FIELD_NUMBER: _ClassVar[int]
    model: str
    relevance_model: str
    encoder_id: str
    tile_size: int
    patches_per_side: int
    feature_width: int
    dtype: Features.DType
    default_retention: float
    max_image_bytes: int
    max_image_pixels: int
    trained: bool
    version: str
    checkpoint: str
    row_dtypes: _containers.RepeatedScalarFieldContainer[Features.DType]
    def __init__(self, model: _Optional[str] = ..., relevance_model: _Optional[str] = ..., encoder_id: _Optional[str] = ..., tile_size: _Optional[int] = ..., patches_per_side: _Optional[int] = ..., feature_width: _Optional[int] = ..., dtype: _Optional[_Union[Features.DType, str]] = ..., default_retention: _Optional[float] = ..., max_image_bytes: _Optional[int] = ..., max_image_pixels: _Optional[int] = ..., trained: bool = ..., version: _Optional[str] = ..., checkpoint: _Optional[str] = ..., row_dtypes: _Optional[_Iterable[_Union[Features.DType, str]]] = ...) -> None: ...
