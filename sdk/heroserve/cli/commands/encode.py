"""`heroserve encode`."""

from __future__ import annotations

import json

import typer
from rich.table import Table

from heroserve.cli import explaining, options
from heroserve.cli.calling import encoder
from heroserve.cli.messages import as_dict, saved
from heroserve.cli.output import console
from heroserve.cli.pictures import name_of, read_picture
from heroserve.cli.waiting import Waiting
from heroserve.savings import Savings
from heroserve.v1.encoder_pb2 import VisualTokens


def encode(
    image: options.ImagePath,
    question: options.Question,
    retention: options.Retention = None,
    max_visual_tokens: options.MaxVisualTokens = None,
    explain: explaining.ExplainFile = None,
    encoder_target: options.EncoderTarget = "localhost:9000",
    api_key: options.ApiKey = None,
    tls: options.Tls = False,
    timeout: options.Timeout = 120.0,
    as_json: options.AsJson = False,
) -> None:
    """Show which visual tokens a question keeps, and what made each tile matter; JSON has the positions, but not the
    features."""
    options.one_budget(retention, max_visual_tokens)
    explaining.apart(explain, image)
    with Waiting(not as_json) as waiting, encoder(encoder_target, api_key, tls, timeout, name_of(image)) as client:
        waiting.stage(f"reading {name_of(image)}")
        picture = read_picture(image)
        waiting.stage("looking at the picture")
        tokens = client.encode(
            picture, question, retention=retention, max_visual_tokens=max_visual_tokens, explain=True
        )
    if as_json:
        tokens.features.ClearField("data")
        typer.echo(json.dumps(as_dict(tokens)))
    else:
        _show(tokens)
    if explain is not None:
        explaining.write_encoded(explain, tokens, question, picture, as_json)


def _show(tokens: VisualTokens) -> None:
    grid, side = tokens.grid, tokens.grid.patches_per_side
    out = console()
    out.print(
        f"{grid.image_width} x {grid.image_height} pixels · {grid.rows} x {grid.cols} tiles "
        f"and a thumbnail of {side} x {side} tokens"
    )
    out.print(_tiles(tokens))
    # A newer service may have another.
    known = tokens.cache in VisualTokens.Cache.values()
    cache = VisualTokens.Cache.Name(tokens.cache).lower() if known else str(tokens.cache)
    out.print(f"{saved(Savings.from_message(tokens.savings))} · cache {cache} · total {tokens.timings.total:.3f} s")


def _tiles(tokens: VisualTokens) -> Table:
    terms = ("saliency", "relevance", "density")
    table = Table("tile", *(name for name in ("importance", "kept", "valid", *terms)))
    for column in table.columns[1:]:
        column.justify = "right"
    for tile in tokens.tiles:
        row, col = divmod(tile.index - 1, tokens.grid.cols or 1)
        table.add_row(
            f"row {row} col {col}" if tile.index else "thumbnail",
            f"{tile.importance:.3f}" if tile.index else "",
            str(len(tile.positions)),
            str(tile.valid),
            *(f"{getattr(tile.explanation, term):.3f}" if tile.index else "" for term in terms),
        )
    return table
