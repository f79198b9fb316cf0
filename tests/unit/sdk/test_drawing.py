"""An explanation as a picture: where the image's pixels are in it, which of them are clear, and what it says."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFont

from heroserve import Explanation, Savings
from heroserve.drawing import page, table
from heroserve.drawing.page import GAP, MARGIN, main_panel
from heroserve.drawing.style import FADED, Letters
from heroserve.drawing.upright import upright
from heroserve.drawing.words import amount
from heroserve.errors import ArgumentError, ImageError
from heroserve.geometry import Geometry
from heroserve.v1.encoder_pb2 import Tile, TileExplanation, VisualTokens
from services.encoder.images.decode import ImageLimits, decode
from services.encoder.response import grid_message
from services.families.llava_next.tiles import AnyresTiler
from tests.support.pictures import encoded, picture

LIMITS = ImageLimits(1 << 24, 1 << 24)
PINPOINTS = tuple((rows * 112, columns * 112) for rows, columns in ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3)))
TILER = AnyresTiler(112, 14, PINPOINTS, Image.Resampling.BICUBIC)
ORIENTATION = 0x0112


def turned(image: Image.Image, orientation: int, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, kind, exif=exif, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))


def explained(data: bytes, keep: float = 0.3, seed: int = 0) -> Explanation:
    """What the encoder would tell of a picture, some random tokens of it kept; the grid is the real one's."""
    seen = decode(data, LIMITS)
    grid = TILER.grid(*seen.size)
    random = np.random.default_rng(seed)
    tiles = []
    for index, mask in enumerate(grid.valid()):
        valid = np.flatnonzero(mask)
        kept = sorted(random.choice(valid, round(len(valid) * keep), replace=False).tolist())
        tile = Tile(index=index, valid=len(valid), positions=kept)
        if index:
            tile.importance = 1 / (grid.rows * grid.cols)
            tile.explanation.CopyFrom(TileExplanation(saliency=0.25, relevance=0.5, density=0.125))
        tiles.append(tile)
    total, kept_all = sum(tile.valid for tile in tiles), sum(len(tile.positions) for tile in tiles)
    savings = Savings(total, kept_all, total - kept_all, 3.2e12, 1_500_000)
    digest = hashlib.sha256(data).hexdigest()
    return Explanation(digest, "What is it?", grid_message(grid, TILER.place(grid)), tuple(tiles), savings)


def ramps(width: int, height: int) -> Image.Image:
    """Colours that tell places, none of them grey."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 / max(1, width - 1), y * 255 / max(1, height - 1)
    blue = np.where((red + green) / 2 < 128, 255, 0)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
KINDS: dict[str, bytes] = {
    **{f"PNG turned {n}": turned(picture(37, 23), n) for n in range(1, 9)},
    **{f"{kind} turned {n}": turned(picture(37, 23), n, kind) for kind in ("JPEG", "WEBP", "TIFF") for n in (3, 6, 7)},
    "an orientation that is none": turned(picture(37, 23), 99),
    "grey": encoded(picture(9, 7).convert("L")),
    "black and white": encoded(picture(9, 7).convert("1")),
    "palette": encoded(picture(9, 7).quantize(7)),
    "GIF": encoded(picture(9, 7).quantize(7), "GIF"),
    "BMP": encoded(picture(9, 7), "BMP"),
    "transparent colour": encoded(picture(9, 7).quantize(7), transparency=3),
    "see-through": encoded(Image.merge("RGBA", [*picture(31, 7).split(), picture(31, 7, 1).getchannel("R")])),
    "grey and see-through": encoded(Image.merge("LA", picture(31, 7).split()[:2])),
    "16 bits": encoded(Image.fromarray((np.arange(63).reshape(7, 9) * 1040).astype(np.uint16))),
    "with a profile": encoded(picture(9, 7), icc_profile=PROFILE),
    "with a broken profile": encoded(picture(9, 7), icc_profile=b"no profile"),
    "two frames": encoded(picture(9, 7), "GIF", save_all=True, append_images=[picture(9, 7, 3)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_is_read_as_the_encoder_reads_it(kind: str) -> None:
    data = KINDS[kind]
    theirs = decode(data, LIMITS)
    ours = upright(data, hashlib.sha256(data).hexdigest(), theirs.size)
    difference = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))
    # Of transparency each rounds for itself.
    assert difference.max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(333, 101), (91, 137), (225, 223), (30, 41), (336, 224)])
def test_kept_patches_are_clear_and_dropped_ones_dimmed_where_the_image_has_them(
    size: tuple[int, int], orientation: int
) -> None:
    """By colour alone: whose middle in the picture has the colour that the upright image has there."""
    data = turned(ramps(*size), orientation)
    explanation = explained(data, seed=orientation)
    seen = np.asarray(decode(data, LIMITS)).astype(int)
    geometry = Geometry(explanation.grid)
    panel = main_panel(geometry)
    image = upright(data, explanation.image_digest, seen.shape[1::-1])
    drawn = page._panel(explanation, geometry, image, Letters())
    told = np.asarray(drawn).astype(int)
    checked = 0
    badge = {tile: panel.place(geometry.tile(tile))[:2] for tile in range(1, len(explanation.tiles))}
    for tile in explanation.tiles[1:]:
        kept = set(tile.positions)
        for position in range(explanation.grid.patches_per_side**2):
            box = geometry.token(tile.index, position)
            left, top, right, bottom = panel.place(box)
            # Not of a sliver at the image's edge, nor under the tile's name.
            if min(right - left, bottom - top) < 9 or min(box.width, box.height) < 1:
                continue
            if left < badge[tile.index][0] + 110 and top < badge[tile.index][1] + 30:
                continue
            there = told[(top + bottom) // 2, (left + right) // 2]
            x, y = int((box.left + box.right) / 2), int((box.top + box.bottom) / 2)
            colour = seen[min(y, seen.shape[0] - 1), min(x, seen.shape[1] - 1)]
            if abs(int(colour[:2].sum()) // 2 - 128) < 24:
                continue  # where blue begins
            if position in kept:
                assert np.abs(there - colour).max() <= 16, (tile.index, position)
            else:
                assert np.ptp(there - np.array(FADED)) <= 6, (tile.index, position)
            checked += 1
    assert checked > 20


def test_padding_is_told_from_the_image() -> None:
    data = encoded(Image.new("RGB", (333, 50), (200, 0, 0)))
    explanation = explained(data, keep=1)
    geometry = Geometry(explanation.grid)
    panel = main_panel(geometry)
    image = upright(data, explanation.image_digest, (333, 50))
    drawn = np.asarray(page._panel(explanation, geometry, image, Letters()))
    red = (drawn[:, :, 0] > 150) & (drawn[:, :, 1] < 60)
    _, top, _, bottom = panel.place(geometry.image)
    rows = red.mean(axis=1)
    assert rows[:top].max() < 0.1
    assert rows[top + 4 : bottom - 4].min() > 0.9
    assert rows[bottom:].max() < 0.1


def test_the_page_holds_panel_thumbnail_and_table() -> None:
    data = encoded(ramps(300, 250))
    explanation = explained(data, keep=1)
    drawn = explanation.draw(data, answer="42")
    panel = main_panel(Geometry(explanation.grid))
    assert drawn.width == 2 * MARGIN + panel.size[0] + GAP + table.WIDTH
    # All that was kept is clear: the thumbnail stands beside, at the same height.
    assert len(drawn.crop((MARGIN + panel.size[0] + GAP, 150, drawn.width, 400)).getcolors(1 << 20) or []) > 1000
    # What is said of savings is drawn: of none, there is less ink in the last line.
    silent = Explanation(
        explanation.image_digest, explanation.question, explanation.grid, explanation.tiles, Savings(10, 10, 0)
    ).draw(data, answer="42")
    assert ink(drawn.crop((0, drawn.height - 60, drawn.width, drawn.height))) > 1.3 * ink(
        silent.crop((0, silent.height - 60, silent.width, silent.height))
    )


def ink(image: Image.Image) -> int:
    return int((np.asarray(image.convert("L")) < 128).sum())


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (2000, 12), (9, 1300), (640, 480), (1500, 400)])
def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    data = encoded(Image.new("RGB", size, "white"))
    drawn = explained(data).draw(data)
    assert 700 < drawn.width < 2600
    assert 400 < drawn.height < 2400


def test_a_table_says_what_each_tile_had() -> None:
    tiles = [Tile(index=0, valid=9, positions=[1, 2])]
    for index, share in enumerate([0.5, 0.3, 0.2], 1):
        terms = TileExplanation(saliency=share, density=1 / 3)
        tiles.append(Tile(index=index, valid=9, positions=[0], importance=share, explanation=terms))
    lines = table.lines_of(tiles)
    assert [line.name for line in lines] == ["T", "1", "2", "3"]
    assert (lines[0].kept, lines[0].valid, lines[0].terms) == (2, 9, (None,) * 4)
    # Relevance is off: that is nothing, not 0%.
    assert lines[1].terms == (0.5, 0.5, None, pytest.approx(1 / 3))
    tiles += [Tile(index=index, valid=9, importance=0.001 * index) for index in range(4, 60)]
    many = table.lines_of(tiles)
    assert [line.name for line in many[:4]] == ["T", "1", "2", "3"]
    assert len(many) == 21
    assert {int(line.name) for line in many[4:]} == set(range(43, 60))


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0 "), (7, "7.0 "), (999, "999 "), (999.6, "1.0 k"), (12_345, "12.3 k"), (1.5e6, "1.5 M"), (2e13, "20.0 T")],
)
def test_amounts(number: float, told: str) -> None:
    assert amount(number) == told


def test_texts_are_broken_between_words_and_written_in_letters_that_there_are() -> None:
    letters = Letters()
    assert letters.writable("Größe \N{EN DASH} „Äpfel“\n\tcafé") == 'Grosse - "Apfel“ cafe'
    assert letters.writable("合計") == "??"
    lines = letters.lines("word " * 200, 20, 300, 3)
    assert len(lines) == 3
    assert all(letters.width(line, 20) <= 300 for line in lines)
    assert lines[-1].endswith("...")
    assert all(line.startswith("word") for line in lines)
    (long,) = letters.lines("x" * 500, 20, 300, 1)
    assert letters.width(long, 20) <= 300
    assert letters.lines("", 20, 300, 3) == []


@pytest.mark.parametrize("text", ["word " * 400_000, "x" * 2_000_000, "\N{COMBINING ACUTE ACCENT}" * 2_000_000])
def test_of_a_long_text_only_what_could_stand_there_is_measured(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    width = Letters.width
    monkeypatch.setattr(
        Letters, "width", lambda self, text, size: measured.append(len(text)) or width(self, text, size)
    )
    asked = []
    has = Letters._has
    monkeypatch.setattr(Letters, "_has", lambda self, letter: asked.append(letter) or has(self, letter))
    lines = Letters().lines(text, 20, 300, 2)
    assert len(lines) <= 2
    assert lines[-1].endswith("...")
    assert sum(measured) < 20_000
    assert len(asked) < 50


def test_what_is_no_text_is_written_as_a_question_mark() -> None:
    assert Letters().writable("a\0b\x1b[31m\ud800c") == "a?b?[31m?c"
    data = encoded(ramps(300, 250))
    assert explained(data).draw(data, answer="\0\ud800" * 9).width > 700


def test_what_can_not_be_drawn_is_refused_in_a_line() -> None:
    data = encoded(ramps(300, 250))
    explanation = explained(data)
    with pytest.raises(ImageError, match="is not the one that was explained"):
        explanation.draw(encoded(ramps(300, 251)))
    with pytest.raises(ImageError, match=r"cannot read .*No such file"):
        explanation.draw("/nowhere/picture.png")
    steering = Explanation("\x1b[2J\n" * 20, "?", explanation.grid, explanation.tiles, explanation.savings)
    with pytest.raises(ImageError, match=r"the explained one's \\x1b\[2J\\n") as told:
        steering.draw(data)
    assert str(told.value).isprintable()
    broken = Explanation("", "?", explanation.grid, explanation.tiles, explanation.savings)
    with pytest.raises(ImageError, match="Pillow can't read it here"):
        broken.draw(b"no picture")
    with pytest.raises(ImageError, match=r"Pillow reads 10x10 pixels here, the encoder 300x250"):
        broken.draw(encoded(Image.new("RGB", (10, 10))))
    with pytest.raises(ArgumentError, match="too old"):
        Explanation("", "?", type(explanation.grid)(), (), Savings()).draw(data)


def test_a_plan_has_nothing_to_explain() -> None:
    planned = VisualTokens(tiles=[Tile(index=0)])
    planned.savings.kept = 7
    with pytest.raises(ArgumentError, match="plan"):
        Explanation.of(planned, "?")


def test_json_and_back() -> None:
    explanation = explained(encoded(ramps(300, 250)))
    text = json.dumps(explanation.to_dict())
    assert Explanation.from_dict(json.loads(text)) == explanation
    with pytest.raises(ArgumentError, match="explanation: "):
        Explanation.from_dict({"grid": 7})


def test_without_pillow_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(ramps(300, 250))
    explanation = explained(data)
    for name in [name for name in sys.modules if name.startswith("heroserve.drawing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"needs Pillow.*pip install 'heroserve\[images\]'"):
        explanation.draw(data)


@pytest.mark.parametrize("font", ["a\0b", "\ud800.ttf", "no\x1b[2J\nfont", 7, io.BytesIO(b"font")])
def test_a_font_that_is_none(font: object) -> None:
    data = encoded(ramps(300, 250))
    with pytest.raises(ArgumentError, match=r"^font: ") as told:
        explained(data).draw(data, font=font)  # type: ignore[arg-type]
    assert str(told.value).isprintable()


def test_a_font_of_ones_own(tmp_path: Path) -> None:
    """Pillow's own, as a file, does as one."""
    file = tmp_path / "font.ttf"
    file.write_bytes(ImageFont.load_default(20).font_bytes)
    data = encoded(ramps(300, 250))
    explanation = explained(data)
    assert explanation.draw(data, font=str(file)).size == explanation.draw(data).size
    with pytest.raises(ArgumentError, match="font: cannot open"):
        explanation.draw(data, font=str(tmp_path / "another.ttf"))
