"""What a caller may send wrong: each refusal names the field and the limit, and costs nothing."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from heroserve.v1.encoder_pb2 import EncodeRequest, Features
from heroserve.v1.tokens_pb2 import Budget
from heroserve.v1.tokens_pb2 import Image as SentImage
from services.common.budget import MaxVisualTokens, Retention
from services.common.errors import InvalidArgument
from services.common.wire import MAX_QUESTION_CHARS
from services.encoder.images.decode import ImageLimits, decode
from services.encoder.request import parse_request
from services.families.family import CutError
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import png_chunk, raw_png
from tests.support.files import png, rgb_profile, tiff
from tests.support.pictures import encoded, picture

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=50_000_000)
RGB = picture(50, 40)


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> str:
    with pytest.raises(InvalidArgument) as caught:
        decode(data, limits)
    assert caught.value.field == "image.data"
    assert str(caught.value).startswith("image.data: ")
    return str(caught.value)


def test_nothing() -> None:
    assert "empty" in refusal(b"")


@pytest.mark.parametrize("data", [b"x", b"GIF", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='...'/>", bytes(5000), b"\xff\xd8"])
def test_not_an_image(data: bytes) -> None:
    assert "JPEG, PNG, WEBP, GIF, BMP, TIFF" in refusal(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated(kind: str, share: float) -> None:
    data = encoded(RGB, kind)
    message = refusal(data[: int(len(data) * share)])
    assert "truncated" in message or "not an image" in message


def test_a_truncated_file_is_told_from_no_file() -> None:
    for kind in ("JPEG", "PNG"):
        assert "damaged or truncated" in refusal(encoded(RGB, kind)[:-200])


def test_too_many_bytes() -> None:
    data = encoded(RGB, "PNG")
    limits = ImageLimits(max_bytes=len(data) - 1, max_pixels=10**6)
    assert f"is {len(data)} bytes; the limit is {len(data) - 1} bytes" in refusal(data, limits)
    assert decode(data, ImageLimits(len(data), 10**6)).size == (50, 40)


def test_too_many_pixels() -> None:
    data = encoded(RGB, "PNG")
    assert "50x40 = 2000 pixels; the limit is 1999" in refusal(data, ImageLimits(10**6, 1999))
    assert decode(data, ImageLimits(10**6, 2000)).size == (50, 40)


class TestBombs:
    """Refused from the header: nothing is decoded."""

    @pytest.fixture(autouse=True)
    def _never_decoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def load(*_: object) -> None:
            raise AssertionError("decoded an image that is too large")

        monkeypatch.setattr(ImageFile.ImageFile, "load", load)

    def refused_at_once(self, data: bytes) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            message = refusal(data)
        assert str(LIMITS.max_pixels) in message
        return message

    @pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (10_000, 10_000), (2**31 - 1, 1), (50_000_001, 1)])
    def test_claimed_by_a_png_header(self, width: int, height: int) -> None:
        self.refused_at_once(raw_png(width, height))

    def test_a_real_png_of_zeros(self) -> None:
        side = 9000
        data = raw_png(side, side, depth=1, lines=bytes(side * (1 + side // 8)))
        assert len(data) < 20_000
        assert "9000x9000 = 81000000" in self.refused_at_once(data)

    def test_claimed_by_other_headers(self) -> None:
        gif = bytearray(encoded(RGB.quantize(4), "GIF"))
        gif[6:10] = struct.pack("<HH", 60_000, 60_000)
        self.refused_at_once(bytes(gif))
        bmp = bytearray(encoded(RGB, "BMP"))
        bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
        self.refused_at_once(bytes(bmp))
        jpeg = bytearray(encoded(RGB, "JPEG"))
        start = jpeg.index(b"\xff\xc0") + 5
        jpeg[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
        self.refused_at_once(bytes(jpeg))
        body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2
        body += b"VP8 " + struct.pack("<I", 10) + b"\x30\1\0\x9d\1\x2a" + struct.pack("<HH", 16_383, 16_383)
        refusal(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)

    @pytest.mark.parametrize("side", [9000, 16_000])
    def test_claimed_by_an_avif_header(self, side: int) -> None:
        avif = bytearray(encoded(RGB, "AVIF"))
        start = avif.index(b"ispe") + 8
        avif[start : start + 8] = struct.pack(">II", side, side)
        self.refused_at_once(bytes(avif))

    def test_claimed_by_tiles_of_a_tiff(self) -> None:
        """Its decoder makes room for a whole tile, however small the picture is."""
        tiles = tiff(np.zeros((4, 4), np.uint8), 8, 1, deflate=True, tile=10_000)
        assert "tiles of 100000000 pixels" in self.refused_at_once(tiles)


def test_the_limit_can_be_raised_above_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise OSError("decoding begins")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    limits = ImageLimits(max_bytes=1 << 20, max_pixels=225_000_000)
    assert "decoding begins" in refusal(raw_png(15_000, 15_000), limits)
    assert "15001x15000 = 225015000 pixels; the limit is 225000000" in refusal(raw_png(15_001, 15_000), limits)


@pytest.mark.parametrize(("width", "height"), [(0, 4), (4, 0), (0, 0)])
def test_no_pixels(width: int, height: int) -> None:
    refusal(raw_png(width, height, lines=bytes(20)))


class TestAspect:
    @pytest.mark.parametrize(("width", "height", "aspect"), [(1000, 2, "500"), (2, 1000, "500"), (1, 201, "201")])
    def test_too_long_and_thin(self, tiler: AnyresTiler, width: int, height: int, aspect: str) -> None:
        with pytest.raises(CutError) as caught:
            tiler.grid(width, height)
        assert str(caught.value) == f"is {width}x{height} pixels, an aspect ratio of {aspect}:1; the limit is 200:1"

    @pytest.mark.parametrize(("width", "height"), [(2400, 100), (100, 2400), (16, 1)])
    def test_a_picture_of_one_row_of_patches(self, tiler: AnyresTiler, width: int, height: int) -> None:
        assert tiler.grid(width, height).valid()[1:].any()

    @pytest.mark.parametrize(("width", "height"), [(4, 100), (100, 4), (2500, 100), (1, 16), (200, 1), (1, 200)])
    def test_thin_ones_are_read_by_their_thumbnail(self, tiler: AnyresTiler, width: int, height: int) -> None:
        grid = tiler.grid(width, height)
        assert grid.valid()[0].all()
        assert len(tiler.cut(picture(width, height), grid)) == 1 + grid.rows * grid.cols


def request(
    *,
    data: bytes | None = b"\x89PNG",
    digest: str | None = None,
    question: str = "What?",
    retention: float | None = None,
    max_visual_tokens: int | None = None,
    explain: bool = False,
    rows: int = 0,
) -> EncodeRequest:
    image = SentImage(digest=digest) if digest is not None else SentImage(data=data)
    return EncodeRequest(
        image=image,
        question=question,
        budget=Budget(retention=retention, max_visual_tokens=max_visual_tokens),
        explain=explain,
        rows=rows,
    )


class TestRequests:
    @pytest.mark.parametrize("question", ["", " ", "\n\t  \n"])
    def test_blank_question(self, question: str) -> None:
        self.refused("question", "empty", question=question)

    def test_overlong_question(self) -> None:
        self.refused("question", f"{MAX_QUESTION_CHARS + 1} characters", "32768", question="x" * 32_769)
        assert len(parse_request(request(question="x" * 32_768), LIMITS, Retention(0.2)).question) == 32_768

    @pytest.mark.parametrize("retention", [0.0, -1.0, float("nan"), 2.0, float("inf"), float("-inf"), 1.0000001, -0.0])
    def test_retention(self, retention: float) -> None:
        self.refused("budget.retention", "above 0 and at most 1", retention=retention)

    def test_max_visual_tokens(self) -> None:
        self.refused("budget.max_visual_tokens", "at least 1", max_visual_tokens=0)

    @pytest.mark.parametrize(
        "digest",
        ["", "a", "0" * 63, "0" * 65, "0" * 64 + "\n", "g" * 64, "A" * 64, "sha256:" + "0" * 57, "\u0660" * 64],
    )
    def test_malformed_digest(self, digest: str) -> None:
        self.refused("image.digest", "64 lower-case hex", digest=digest)

    def test_no_image(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^image: is missing; send data or a digest$"):
            parse_request(EncodeRequest(question="What?"), LIMITS, Retention(0.2))

    def test_empty_and_oversized_data(self) -> None:
        self.refused("image.data", "empty", data=b"")
        self.refused("image.data", f"{LIMITS.max_bytes + 1} bytes", str(LIMITS.max_bytes), data=bytes((1 << 20) + 1))

    @pytest.mark.parametrize(("rows", "shown"), [(Features.FLOAT16, "FLOAT16"), (9, "9"), (-1, "-1")])
    def test_a_dtype_that_rows_are_not_sent_in(self, rows: int, shown: str) -> None:
        self.refused("rows", f"is {shown}; it must be FLOAT32, BFLOAT16 or INT8, or left out", rows=rows)

    def test_rows_in_what_they_are_kept_in_or_in_what_holds_them(self) -> None:
        for rows, stored, wanted in (
            (Features.DTYPE_UNSPECIFIED, "float16", None),
            (Features.FLOAT16, "float16", "float16"),
            (Features.FLOAT32, "int8", "float32"),
            (Features.INT8, "float32", "int8"),
        ):
            assert parse_request(request(rows=rows), LIMITS, Retention(0.2), stored=stored).rows == wanted

    def refused(self, field: str, *told: str, **wrong: object) -> None:
        with pytest.raises(InvalidArgument) as caught:
            parse_request(request(**wrong), LIMITS, Retention(0.2))
        assert caught.value.field == field
        assert str(caught.value).startswith(f"{field}: ")
        for words in told:
            assert words in str(caught.value)

    def test_what_is_right_is_taken_as_it_is(self) -> None:
        job = parse_request(request(question="  Why? \n", max_visual_tokens=7, explain=True), LIMITS, Retention(0.2))
        assert (job.question, job.budget, job.explain) == ("Why?", MaxVisualTokens(7), True)
        assert job.digest == hashlib.sha256(b"\x89PNG").hexdigest()
        assert job.data == b"\x89PNG"
        job = parse_request(request(digest="0" * 64, retention=1.0), LIMITS, Retention(0.2))
        assert (job.digest, job.data, job.budget) == ("0" * 64, None, Retention(1.0))

    def test_the_default_retention_is_the_services(self) -> None:
        bare = EncodeRequest(image=SentImage(data=b"x"), question="What?")
        assert parse_request(bare, LIMITS, Retention(0.35)).budget == Retention(0.35)


def _text() -> PngInfo:
    info = PngInfo()
    info.add_text("a", "hello " * 50, zip=True)
    info.add_itxt("b", "hello " * 50, zip=True)
    return info


PLAIN = [
    encoded(RGB, "JPEG"),
    encoded(RGB, "JPEG", progressive=True),
    encoded(RGB.convert("CMYK"), "JPEG"),
    encoded(RGB, "PNG", pnginfo=_text()),
    encoded(RGB.quantize(9), "PNG", transparency=3),
    encoded(Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(40, 50)), "PNG"),
    encoded(RGB, "WEBP"),
    encoded(RGB.convert("RGBA"), "WEBP", lossless=True),
    encoded(RGB.quantize(9), "GIF", save_all=True, append_images=[RGB.quantize(7)]),
    encoded(RGB, "BMP"),
    encoded(RGB.quantize(9), "BMP"),
    encoded(RGB, "TIFF"),
    encoded(RGB, "TIFF", compression="tiff_lzw"),
    encoded(RGB, "TIFF", compression="jpeg"),
    encoded(RGB.convert("1"), "TIFF", compression="group4"),
    encoded(RGB, "AVIF"),
    tiff(np.arange(2000, dtype=np.uint16).reshape(40, 50), 16, 0),
    tiff(np.arange(2000, dtype=np.uint16).reshape(40, 50), 12, 1),
    tiff(np.arange(6000, dtype=np.uint16).reshape(40, 50, 3), 16, 2, planar=2),
    png(np.arange(6000, dtype=np.uint16).reshape(40, 50, 3), 16, 2, png_chunk(b"tRNS", bytes(6))),
    *(
        encoded(RGB, kind, icc_profile=rgb_profile((0.8, 0.3, 0), (0.1, 0.7, 0), (0, 0, 0.8), 1.8))
        for kind in ("PNG", "JPEG")
    ),
]


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 6, "a description", 72.0
    return exif


TURNED = [encoded(RGB, kind, exif=_turned()) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]


def whole_again(data: bytes) -> bytes:
    """A PNG with right checksums, so that corruption gets past them."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if at + 12 + size > len(data):
            break
        out += png_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + size])
        at += 12 + size
    return out + data[at:]


@st.composite
def corrupted(draw: st.DrawFn, files: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(files)))
    # Headers and trailers hold what parsers trip over.
    place = st.one_of(
        st.integers(0, min(300, len(data)) - 1),
        st.integers(max(0, len(data) - 300), len(data) - 1),
        st.integers(0, len(data) - 1),
    )
    for at in draw(st.lists(place, min_size=1, max_size=12)):
        data[at] = draw(st.one_of(st.sampled_from([0, 255]), st.integers(0, 255)))
    if draw(st.integers(0, 5)) == 0:
        data = data[: draw(place)]
    if draw(st.integers(0, 5)) == 0:
        at = draw(place)
        del data[at : at + draw(st.integers(1, 20))]
    checked = data.startswith(b"\x89PNG") and draw(st.booleans())
    return whole_again(bytes(data)) if checked else bytes(data)


def decoded_or_refused(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = decode(data, LIMITS)
        except InvalidArgument as error:
            assert error.field == "image.data"  # noqa: PT017
        else:
            assert image.mode == "RGB"
            assert image.width * image.height <= LIMITS.max_pixels


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(data=corrupted(PLAIN))
def test_corruption(data: bytes) -> None:
    decoded_or_refused(data)


def test_corrupted_metadata() -> None:
    random = np.random.default_rng(0)
    for _ in range(3000):
        data = bytearray(TURNED[random.integers(len(TURNED))])
        start = max(data.find(b"II*\0"), data.find(b"MM\0*"), 0)
        for at in random.integers(start, min(start + 120, len(data)), random.integers(1, 4)):
            data[at] = random.choice([0, 1, 2, 3, 5, 255, random.integers(256)])
        decoded_or_refused(whole_again(bytes(data)) if data.startswith(b"\x89PNG") else bytes(data))


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(0x0102, 2, b"ab\0\0"), (0x011A, 2, b"ab\0\0")],
    ids=["bits per sample", "resolution"],
)
def test_odd_metadata_is_no_reason_to_refuse(tag: int, kind: int, value: bytes) -> None:
    """A photo with an orientation and a tag of an unusual type, as in the wild."""
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (tag, kind, 3, value)])
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)
    data = encoded(RGB, "JPEG", exif=exif)
    shown = decode(data, LIMITS)
    stored = Image.open(io.BytesIO(data)).convert("RGB")
    assert np.array_equal(np.asarray(shown), np.rot90(np.asarray(stored), -1))
