"""Every dashboard, as the files that Grafana reads; ``scripts.generate`` writes them."""

from __future__ import annotations

import json

from deploy.grafana import capacity, cost, encoder, engine, llm, objectives, refusals, savings

BOARDS = (
    savings.DASHBOARD,
    cost.DASHBOARD,
    objectives.DASHBOARD,
    encoder.DASHBOARD,
    llm.DASHBOARD,
    engine.DASHBOARD,
    refusals.DASHBOARD,
    capacity.DASHBOARD,
)


def files() -> dict[str, bytes]:
    return {
        f"deploy/grafana/dashboards/{board.uid}.json": (json.dumps(board.json(), indent=2) + "\n").encode()
        for board in BOARDS
    }
