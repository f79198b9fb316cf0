"""`heroserve encode`."""

from __future__ import annotations

import json

import typer

from heroserve.cli import explaining, options
from heroserve.cli.calling import encoder
from heroserve.cli.messages import as_dict, saved
from heroserve.cli.output import console
from heroserve.cli.pictures import name_of, read_picture
from heroserve.cli.tiles import tiles_table
from heroserve.cli.waiting import Waiting
from heroserve.savings import Savings
from heroserve.v1.encoder_pb2 import VisualTokens


def encode(
    image: options.ImagePath,
    question: options.Question,
    retention: options.Retention = None,
    max_visual_tokens: options.MaxVisualTokens = None,
    rows: options.Rows = None,
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
            picture,
            question,
            retention=retention,
            max_visual_tokens=max_visual_tokens,
            explain=True,
            rows=None if rows is None else rows.value,
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
    out.print(tiles_table(tokens.tiles, tokens.grid))
    # A newer service may have another.
    known = tokens.cache in VisualTokens.Cache.values()
    cache = VisualTokens.Cache.Name(tokens.cache).lower() if known else str(tokens.cache)
    features = tokens.features
    dtype = features.DType.Name(features.dtype).lower() if features.dtype in features.DType.values() else features.dtype
    out.print(f"{features.rows} rows of {features.cols} values in {dtype}, {len(features.data)} bytes")
    out.print(f"{saved(Savings.from_message(tokens.savings))} · cache {cache} · total {tokens.timings.total:.3f} s")
