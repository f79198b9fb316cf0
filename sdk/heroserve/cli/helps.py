"""What `heroserve COMMAND -h` shows: what it does, and below its options commands to paste."""

from __future__ import annotations

import inspect
from collections.abc import Callable

EXAMPLES: dict[str, tuple[str, ...]] = {
    "ask": (
        'heroserve ask receipt.jpg "what was the total?" --retention 0.2',
        'heroserve ask before.png after.png "what has changed?" --system "Answer in a sentence." --explain kept.png',
        'curl -sL https://example.com/sign.jpg | heroserve ask - "what does the sign say?" --json',
    ),
    "chat": (
        "heroserve chat photo.jpg",
        "heroserve chat photo.jpg --json < questions.txt",
    ),
    "batch": (
        "heroserve batch questions.jsonl -o answers.jsonl --retention 0.2",
        'heroserve batch photos/ --question "is there a person in this picture?" -o people.jsonl',
    ),
    "curve": (
        "heroserve curve questions.jsonl -o curve/",
        "heroserve curve questions.jsonl --retentions 1,0.2 --match contains --max-tokens 8",
    ),
    "describe": ("heroserve describe --target llm.example:9001",),
    "encode": ('heroserve encode photo.jpg "what does the sign say?" --explain kept.png',),
    "bench": (
        "heroserve bench localhost:9001 --concurrency 8 --duration 30",
        'heroserve bench http://localhost:8001 --rate 5 --image photo.jpg --question "what is this?" --json',
        "heroserve bench --fresh --requests 50",
    ),
    "up": ("HEROSERVE_MODEL=llava-hf/llava-v1.6-mistral-7b-hf heroserve up",),
    "attach": ("heroserve attach http://localhost:8000",),
    "completion": ('eval "$(heroserve completion bash)"', "heroserve completion fish | source"),
}


def text(command: Callable[..., None]) -> str:
    """Its docstring, a paragraph a line: Typer would keep the lines that it has in a file."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(command.__doc__ or "").split("\n\n"))


def epilog(command: str) -> str | None:
    """As Typer shows it, each on a line of its own."""
    return "\n\n".join(["Examples:", *EXAMPLES[command]]) if command in EXAMPLES else None
