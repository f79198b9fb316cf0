"""Draw examples/receipt.png: a page of small print that is only legible at full resolution.

python -m scripts.example_image
"""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ITEMS = [
    ("Oat milk, barista, 1 l", 2.39),
    ("Sourdough loaf, 750 g", 4.80),
    ("Tomatoes on the vine, 0.62 kg", 2.17),
    ("Ground coffee, dark, 500 g", 7.99),
    ("Dish soap, lemon", 1.85),
    ("Notebook A5, dotted", 3.49),
]
SIZE = (1240, 1754)  # A4 at 150 dpi


def draw() -> Image.Image:
    """The receipt on a desk, slightly speckled."""
    speckle = random.Random(7)
    image = Image.new("RGB", SIZE, (120, 96, 72))
    pen = ImageDraw.Draw(image)
    for _ in range(9000):
        x, y = speckle.randrange(SIZE[0]), speckle.randrange(SIZE[1])
        shade = speckle.randrange(-18, 18)
        pen.line([x, y, x + speckle.randrange(10, 60), y], fill=(120 + shade, 96 + shade, 72 + shade))
    pen.rectangle([250, 140, 990, 1560], fill=(250, 248, 240))
    title, body, small = (ImageFont.load_default(size) for size in (52, 26, 20))
    pen.text((620, 210), "CORNER MARKET", font=title, fill=(30, 30, 30), anchor="mm")
    pen.text((620, 265), "14 Harbour Street", font=small, fill=(80, 80, 80), anchor="mm")
    y = 360
    for name, price in ITEMS:
        pen.text((300, y), name, font=body, fill=(40, 40, 40))
        pen.text((940, y), f"{price:.2f}", font=body, fill=(40, 40, 40), anchor="ra")
        y += 62
    total = sum(price for _, price in ITEMS)
    pen.line([300, y + 14, 940, y + 14], fill=(40, 40, 40), width=3)
    pen.text((300, y + 44), "TOTAL", font=title, fill=(20, 20, 20))
    pen.text((940, y + 44), f"{total:.2f}", font=title, fill=(20, 20, 20), anchor="ra")
    pen.text((300, y + 140), "Paid by card  **** 4417", font=small, fill=(80, 80, 80))
    pen.text((300, y + 176), "2026-03-14 18:22  till 3  no. 00918", font=small, fill=(80, 80, 80))
    return image


def main() -> None:
    path = Path(__file__).resolve().parents[1] / "examples" / "receipt.png"
    path.parent.mkdir(exist_ok=True)
    draw().save(path, optimize=True)


if __name__ == "__main__":
    main()
