"""What people hand to a client as an image is taken, or refused in one short line that repeats no picture."""

from __future__ import annotations

import array
import base64
import io
import mmap
import os
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

import pytest

import heroserve
from heroserve.images import load_image
from heroserve.requests import ask_request, encode_request

PHOTO = Path("examples/scene.png").read_bytes()
BASE64 = base64.b64encode(PHOTO).decode()


class Dribble(io.RawIOBase):
    """Gives less than it is asked for, and can't be rewound."""

    def __init__(self) -> None:
        self._left = io.BytesIO(PHOTO)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece = self._left.read(min(1000, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


class Named:
    def __init__(self, path: object) -> None:
        self._path = path

    def __fspath__(self):
        return self._path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(PHOTO)
    return path


SENT = {
    "bytes": lambda photo: PHOTO,
    "bytearray": lambda photo: bytearray(PHOTO),
    "memoryview": lambda photo: memoryview(PHOTO),
    "every other byte of a memoryview": lambda photo: memoryview(_doubled())[::2],
    "str": str,
    "Path": lambda photo: photo,
    "a path of bytes": lambda photo: Named(os.fsencode(photo)),
    "os.DirEntry": lambda photo: next(entry for entry in os.scandir(photo.parent) if entry.name == photo.name),
    "an open file": lambda photo: photo.open("rb"),
    "an unbuffered one": lambda photo: photo.open("rb", buffering=0),
    "BytesIO": lambda photo: io.BytesIO(PHOTO),
    "what can't be rewound": lambda photo: Dribble(),
    "mmap": lambda photo: mmap.mmap(os.open(photo, os.O_RDONLY), 0, prot=mmap.PROT_READ),
    "a temporary file": lambda photo: _temporary(),
    "a data: URL": lambda photo: f"data:image/png;base64,{BASE64}",
    "of base64 in lines": lambda photo: f"DATA:image/png;BASE64,{base64.encodebytes(PHOTO).decode()}",
    "of percent signs": lambda photo: f"data:,{urllib.parse.quote_from_bytes(PHOTO)}",
    "a message": lambda photo: heroserve.Image(data=PHOTO),
    "a picture of Pillow's, of a file": lambda photo: pillow().open(photo),
    "of bytes": lambda photo: pillow().open(io.BytesIO(PHOTO)),
}


def _doubled() -> bytes:
    return bytes(byte for byte in PHOTO for _ in range(2))


def _temporary():
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    file.write(PHOTO)
    file.seek(0)
    return file


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", SENT)
def test_sent_as_it_is(photo: Path, name: str) -> None:
    assert load_image(SENT[name](photo)).data == PHOTO


def opened(picture, **how):
    """As it comes back from what is sent of it."""
    return pillow().open(io.BytesIO(load_image(picture).data), **how)


def test_a_picture_that_was_changed_is_sent_as_it_is_now() -> None:
    picture = pillow().open(io.BytesIO(PHOTO)).convert("RGB")
    picture.putpixel((3, 5), (1, 2, 3))
    assert opened(picture).tobytes() == picture.tobytes()
    half = pillow().open(io.BytesIO(PHOTO)).resize((40, 30))
    assert opened(half).size == (40, 30)


def test_a_picture_that_was_read_keeps_its_orientation_and_colours() -> None:
    buffer = io.BytesIO()
    picture = pillow().new("RGB", (8, 4))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(buffer, "JPEG", exif=exif, icc_profile=b"a profile")
    picture = pillow().open(buffer)
    picture.load()
    sent = opened(picture)
    assert sent.format == "PNG"
    assert sent.getexif()[0x0112] == 6
    assert sent.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("kind", ["ICO", "JPEG", "GIF"])
def test_a_picture_that_is_not_its_whole_file_is_no_file(kind: str) -> None:
    """Of a format that services don't read, scaled while it is decoded, or a later frame."""
    buffer = io.BytesIO()
    frames = [pillow().new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, kind, **({"save_all": True, "append_images": frames[1:]} if kind == "GIF" else {}))
    picture = pillow().open(buffer)
    if kind == "JPEG":
        picture.draft("RGB", (16, 16))
    if kind == "GIF":
        picture.seek(1)
    sent = opened(picture)
    assert sent.format == "PNG"
    assert sent.size == picture.size
    assert sent.convert("RGB").getpixel((1, 1)) == picture.convert("RGB").getpixel((1, 1))


def test_a_file_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"header" + PHOTO)
    file.seek(6)
    assert load_image(file).data == PHOTO
    assert not file.closed


def released() -> memoryview:
    view = memoryview(bytearray(PHOTO))
    view.release()
    return view


def closed() -> io.BytesIO:
    file = io.BytesIO(PHOTO)
    file.close()
    return file


class Asynchronous:
    async def read(self, size: int) -> bytes:
        return PHOTO


class NotYet(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> None:
        return None


def pillow():
    return pytest.importorskip("PIL.Image")


def shut():
    picture = pillow().open(io.BytesIO(PHOTO))
    picture.close()
    return picture


def array_of(*shape: int):
    return pytest.importorskip("numpy").zeros(shape, "uint8")


REFUSED = {
    "base64": (lambda path: BASE64, "characters of base64 are no path"),
    "a small picture's": (lambda path: base64.b64encode(PHOTO[:60]).decode(), "80 characters of base64"),
    "an https: URL": (lambda path: "https://example.com/a.png", "https: URLs are not fetched"),
    "an s3: URL": (lambda path: "s3://bucket/a.png", "s3: URLs are not fetched"),
    "a data: URL that is not base64": (lambda path: "data:image/png;base64,???", "not base64"),
    "a data: URL of nothing": (lambda path: "data:image/png;base64,", "data: URL is empty"),
    "a name with NUL": (lambda path: "a\0b.png", r"'a\x00b.png'"),
    "a name of two lines": (lambda path: "a\nb.png", r"'a\nb.png'"),
    "a long name": (lambda path: "a.b" * 10_000, "the path of 30000 characters"),
    "no name": (lambda path: "", "the path is empty"),
    "a folder": (lambda path: path, "it is a directory"),
    "a device": (lambda path: "/dev/zero", "no regular file"),
    "what is not there": (lambda path: path / "no.png", "no.png: No such file"),
    "a path that is a number": (lambda path: Named(5), "Named is no path"),
    "an empty bytearray": (lambda path: bytearray(), "is empty"),
    "memory that was released": (lambda path: released(), "released"),
    "memory of numbers": (lambda path: memoryview(array.array("f", [1.0])), "memoryview of 'f'"),
    "memory of rows": (lambda path: memoryview(array_of(4, 4, 3)), "3 dimensions"),
    "text": (lambda path: io.StringIO("x"), "opened as text"),
    "a file that was opened as text": (lambda path: open(__file__, encoding="utf-8"), "opened as text"),  # noqa: SIM115
    "a closed file": (lambda path: closed(), "closed"),
    "a file at its end": (lambda path: io.BytesIO(PHOTO[:0]), "seek(0)"),
    "a file that is being written": (lambda path: (path / "new.png").open("wb"), "cannot read the file"),
    "an asynchronous file": (lambda path: Asynchronous(), "gives coroutine, not bytes"),
    "a file that has nothing yet": (lambda path: NotYet(), "gives NoneType, not bytes"),
    "a picture of Pillow's in another mode": (lambda path: pillow().new("CMYK", (4, 4)), "give picture.convert('RGB')"),
    "an empty one": (lambda path: pillow().new("RGB", (0, 4)), "cannot encode the picture"),
    "one whose file was closed": (lambda path: shut(), "cannot encode the picture"),
    "an array": (lambda path: array_of(4, 4, 3), "numpy.ndarray can't be sent; it has pixels"),
    "an array of one dimension": (lambda path: array_of(9), "numpy.ndarray can't be sent"),
    "a tensor": (lambda path: pytest.importorskip("torch").zeros(3, 4, 4), "torch.Tensor can't be sent; it has pixels"),
    "nothing": (lambda path: None, "NoneType can't be sent"),
    "a number": (lambda path: 0, "int can't be sent"),
    "a list": (lambda path: [PHOTO], "list can't be sent"),
    "a part of OpenAI's": (lambda path: {"type": "image_url", "image_url": {"url": BASE64}}, "dict can't be sent"),
    "an array of the library's": (lambda path: array.array("B", PHOTO), "array.array can't be sent"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_short_line(tmp_path: Path, name: str) -> None:
    make, told = REFUSED[name]
    source = make(tmp_path)
    with pytest.raises(heroserve.ImageError) as caught:
        heroserve.user("What?", PHOTO, source)
    message = str(caught.value)
    assert message.startswith("image")
    assert told in message
    assert len(message) < 300
    assert "\n" not in message
    assert BASE64[:20] not in message
    if isinstance(source, io.IOBase):
        # Else whichever test runs when it is collected is told of it.
        source.close()


@pytest.mark.parametrize("source", [bytearray, io.BytesIO, lambda data: memoryview(data)])
def test_too_large(monkeypatch: pytest.MonkeyPatch, source) -> None:
    monkeypatch.setattr("heroserve.sources.MAX_MESSAGE_BYTES", len(PHOTO))
    assert load_image(source(PHOTO)).data == PHOTO
    with pytest.raises(
        heroserve.ImageError,
        match=rf"^image\.data: the (image has {len(PHOTO) + 1}|file has more than {len(PHOTO)}) bytes",
    ):
        load_image(source(PHOTO + b"x"))


def test_a_file_that_was_opened_for_writing(tmp_path: Path) -> None:
    with open(tmp_path / "new", "wb") as file, pytest.raises(heroserve.ImageError, match="opened for writing; open it"):
        load_image(file)


def test_a_file_that_stands_in_its_middle() -> None:
    file = io.BytesIO(PHOTO)
    file.read(7)
    with pytest.raises(heroserve.ImageError, match=r"^image\.data: the file stood at byte 7, .*; seek\(0\)"):
        load_image(file)
    # Where one picture lies behind another it is meant.
    file = io.BytesIO(PHOTO + PHOTO)
    file.seek(len(PHOTO))
    assert load_image(file).data == PHOTO


def test_a_stream_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heroserve.sources.MAX_MESSAGE_BYTES", 1 << 20)
    with (
        open("/dev/zero", "rb") as endless,
        pytest.raises(heroserve.ImageError, match=f"has more than {1 << 20} bytes"),
    ):
        load_image(endless)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ask_request(PHOTO, None), "question: expected a string, got NoneType"),
        (lambda: ask_request(None, 5), "question: expected a string, got int"),
        (lambda: encode_request(PHOTO, ["What?"]), "question: expected a string, got list"),
        (lambda: encode_request(PHOTO, "\ud800"), "question: has half a character (a lone surrogate) in place 1"),
        (lambda: encode_request(PHOTO, "?", explain="yes"), "EncodeRequest.explain: "),
        (lambda: heroserve.user(None, PHOTO), "text: expected a string, got NoneType"),
        (lambda: heroserve.system(b"Be brief."), "text: expected a string, got bytes"),
        (lambda: ask_request(None, "?", stop=5), "stop: "),
        (lambda: ask_request(None, "?", stop=[5]), "stop: "),
        (lambda: ask_request(None, "?", max_tokens="5"), "Sampling.max_tokens: "),
        (lambda: ask_request(None, "?", seed=2**70), "Sampling.seed: "),
        (lambda: ask_request(None, "?", retention="all"), "Budget.retention: "),
        (lambda: heroserve.generate_request(["Hello"]), "messages: "),
        (lambda: heroserve.generate_request([{"role": "user", "content": "Hello"}]), "messages: "),
        (lambda: heroserve.generate_request(5), "messages: "),
    ],
)
def test_other_arguments_are_named_too(make, told: str) -> None:
    with pytest.raises(heroserve.ArgumentError) as caught:
        make()
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "argument", ["question", "retention", "max_tokens", "seed", "stop", "request_id", "trace", "message"]
)
@pytest.mark.parametrize("kind", ["bytes", "base64", "in a dict", "in a list"])
def test_a_picture_in_another_place_is_in_no_error(argument: str, kind: str) -> None:
    value = {"bytes": PHOTO, "base64": BASE64, "in a dict": {BASE64: BASE64}, "in a list": [PHOTO]}[kind]
    client = heroserve.Client("localhost:1", timeout_s=0.01, retry=heroserve.RetryPolicy(attempts=1))
    call = {
        "message": lambda: heroserve.generate_request([value]),
        "question": lambda: client.ask(None, value),
    }.get(argument, lambda: client.ask(None, "What?", **{argument: value}))
    with client, pytest.raises((heroserve.HeroserveError, ValueError, TypeError)) as caught:
        call()
    assert len(str(caught.value)) < 300
    assert BASE64[100:140] not in str(caught.value)
    assert repr(PHOTO[100:120])[2:-1] not in str(caught.value)


def test_an_argument_error_is_what_callers_may_expect() -> None:
    for kind in (heroserve.InvalidArgument, ValueError, TypeError):
        assert issubclass(heroserve.ArgumentError, kind)
        assert issubclass(heroserve.ImageError, kind)


def test_stop_may_be_left_to_the_service() -> None:
    assert ask_request(None, "?", stop=None).sampling.stop == []


def test_neither_pillow_nor_numpy_is_imported() -> None:
    ask = "import sys, heroserve; heroserve.user('?', b'x'); print({'PIL', 'numpy', 'torch'} & set(sys.modules))"
    env = {**os.environ, "PYTHONPATH": "sdk"}
    assert subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True).stdout == "set()\n"
