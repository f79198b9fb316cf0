"""``python -m scripts.capacity MODEL``: what traffic needs, at each retention."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from scripts.capacity.options import parser
from scripts.capacity.plan import plans
from scripts.capacity.report import markdown, values
from scripts.sizing.asked import Asked, Refused


def main(arguments: Sequence[str] | None = None) -> None:
    read = parser()
    options = read.parse_args(arguments)
    defaults = read.parse_args([options.model])
    try:
        asked = Asked.of(options)
        found = list(plans(asked, options))
    except Refused as error:
        sys.exit(f"capacity: {error}")
    width, height = options.image
    tiles, tokens = len(asked.picture.valid), sum(asked.picture.valid)
    print(
        f"{options.model}, {options.dtype}; a picture of {width} x {height} pixels is {tiles} tiles, {tokens} tokens;"
    )
    print("\n".join(markdown(found, options, defaults)))
    if options.json:
        try:
            options.json.write_text(json.dumps(values(found, options), indent=1) + "\n")
        except OSError as error:
            sys.exit(f"capacity: --json: {options.json} can't be written: {error.strerror}")


if __name__ == "__main__":
    main()
