"""The Playground's code to copy, by node where there is one; in a browser it is run in tests/playground."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.stack import ROOT

SOURCE = ROOT / "services/llm/doors/playground/code.js"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="no node")
HOSTILE = ["heroserve-picture-id", '"file_id":"heroserve-picture-id"', "it's $HOME", "$& $1 `id`"]


def snippet(language: str, folder: Path, question: str, base: str) -> str:
    shutil.copy(SOURCE, folder / "code.mjs")
    messages = [{"role": "user", "content": [IMAGE, {"type": "text", "text": question}]}]
    request = {"model": "m", "messages": messages, "max_tokens": 9, "heroserve": {"retention": 0.2}}
    asked = {"request": request, "file": "a.png", "key": False, "base": base, "target": "h:1", "tls": False}
    program = f"import * as code from './code.mjs'; process.stdout.write(code.{language}({json.dumps(asked)}));"
    command = ["node", "--input-type=module", "-e", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("question", HOSTILE)
def test_curl_sends_the_question_as_it_is(tmp_path: Path, question: str):
    base = "http://localhost:8001/it's; touch gone/v1"
    code = snippet("curl", tmp_path, question, base)
    (tmp_path / "curl").write_text("""#!/bin/sh
for each; do echo "$each" >> said; done
echo '{"id":"'0123'"}'
""")
    (tmp_path / "curl").chmod(0o700)
    subprocess.run(["sh", "-c", code], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True, timeout=60)
    said = (tmp_path / "said").read_text()
    assert f"{base}/files\n" in said
    assert f"{base}/chat/completions\n" in said
    asked = json.loads(said[said.index("\n{") :])
    file, text = asked["messages"][0]["content"]
    assert (file["file"]["file_id"], text["text"]) == ("0123", question)
    assert not (tmp_path / "gone").exists()


def test_a_plain_address_stays_bare(tmp_path: Path):
    assert "curl -sS http://localhost:8001/v1/files " in snippet("curl", tmp_path, "?", "http://localhost:8001/v1")


@pytest.mark.parametrize("question", HOSTILE)
def test_python_asks_the_question_as_it_is(tmp_path: Path, question: str):
    code = snippet("openai", tmp_path, question, "http://localhost:8001/v1")
    start = code.index("messages=") + len("messages=")
    found: dict[str, Any] = {}
    said = code[start : code.index("max_tokens")].strip().rstrip(",")
    exec(f"class picture:\n    id = '0123'\nmessages = {said}", found)
    file, text = found["messages"][0]["content"]
    assert (file["file"]["file_id"], text["text"]) == ("0123", question)
