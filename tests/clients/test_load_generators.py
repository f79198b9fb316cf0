"""What people measure servers with: a short run with pictures each, without an error, and numbers that add up."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.stack import ROOT
from tests.clients import scenes
from tests.clients.conftest import KEY, Door

TOKENIZER = str(ROOT / "models" / "heroserve-tiny")
REQUESTS = 12


def test_aiperf(door: Door, tmp_path: Path):
    scenes.write(tmp_path / "asked.jsonl", 3, text="text")
    door.run(
        "aiperf",
        *("aiperf", "profile", "--model", door.model, "--url", door.host, "--endpoint-type", "chat", "--streaming"),
        *("--api-key", KEY, "--tokenizer", TOKENIZER, "--use-server-token-count", "--ui", "none"),
        *("--input-file", str(tmp_path / "asked.jsonl"), "--custom-dataset-type", "single_turn"),
        *(
            "--concurrency",
            "4",
            "--request-count",
            str(REQUESTS),
            "--extra-inputs",
            '{"max_tokens": 8, "temperature": 0}',
        ),
        *("--artifact-dir", str(tmp_path / "told")),
        # Offline it looks into the hub's cache alone, and in no folder.
        HF_HUB_OFFLINE="",
    )
    told = json.loads((tmp_path / "told" / "profile_export_aiperf.json").read_text())
    assert told["request_count"]["avg"] == told["completed_request_count"]["avg"] == REQUESTS
    assert (told["request_error_rate"]["avg"], told["error_summary"]) == (0, [])
    # More than words: of the picture as well, as we count them.
    assert told["usage_prompt_tokens"]["min"] > 60
    assert 1 <= told["usage_completion_tokens"]["max"] <= 8
    assert told["request_throughput"]["avg"] > 0
    assert told["time_to_first_token"]["avg"] > 0


def test_guidellm(door: Door, tmp_path: Path):
    scenes.write(tmp_path / "asked.jsonl", 3, text="prompt")
    door.run(
        "guidellm",
        *("guidellm", "run", "--disable-console"),
        *("--backend", f"kind=openai_http,target={door.host},model={door.model},api_key={KEY},max_tokens=8"),
        *("--tokenizer", f"kind=hf_auto,model={TOKENIZER}"),
        *("--data", f"kind=json_file,path={tmp_path / 'asked.jsonl'}"),
        *("--data-preprocessor", "kind=encode_media"),
        *("--profile", "kind=concurrent,streams=4", "--constraint", f"kind=max_requests,count={REQUESTS}"),
        *("--output", f"kind=json,path={tmp_path / 'told.json'}"),
        # Each loads torch.
        GUIDELLM__MAX_WORKER_PROCESSES="1",
    )
    (told,) = json.loads((tmp_path / "told.json").read_text())["benchmarks"]
    metrics = told["metrics"]
    assert metrics["request_totals"] == {"successful": REQUESTS, "errored": 0, "incomplete": 0, "total": REQUESTS}
    assert metrics["requests_per_second"]["successful"]["mean"] > 0
    assert metrics["time_to_first_token_ms"]["successful"]["mean"] > 0
    for request in told["requests"]["successful"]:
        assert request["output"]
        # More than words: of the picture as well, as we count them.
        assert request["prompt_tokens"] > 60
        assert 1 <= request["output_tokens"] <= 8
