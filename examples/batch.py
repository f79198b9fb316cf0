"""One question about many images, a few at a time; begun again, it goes on where it stopped.

    python examples/batch.py IMAGE [IMAGE ...] QUESTION [--out ANSWERS.jsonl]

Each answer is a line of JSON, written when it is there; what has none is told on stderr too, and makes the exit
status 1. `heroserve batch` does more (docs/how-to/batch.md); this
shows how little it takes.
"""

import argparse
import asyncio
import json
import os
import sys
from collections import deque
from pathlib import Path
from typing import TextIO

import heroserve

AT_ONCE = 8


def answered(out: Path) -> set[tuple[str, str]]:
    """What need not be asked again. A last line that was cut short by a kill goes."""
    if not out.exists():
        return set()
    whole, _, cut = out.read_text().rpartition("\n")
    lines = [json.loads(line) for line in whole.splitlines()]
    asked = {(line["image"], line["question"]): "answer" in line for line in lines}
    if cut:
        out.write_text(whole and whole + "\n")
    return {each for each, done in asked.items() if done}


async def worker(client: heroserve.AsyncClient, images: deque[str], question: str, out: TextIO) -> int:
    """All workers take from one line, so that no more images than workers are under way. How many have no answer."""
    failed = 0
    while images:
        image = images.popleft()
        line: dict[str, object] = {"image": image, "question": question}
        try:
            answer = await client.ask(image, question, retention=0.2, max_tokens=64)
            line |= {"answer": answer.text, "kept": answer.savings.kept, "total": answer.savings.total}
        except heroserve.InvalidArgument as error:  # this image's fault: the others go on
            failed += 1
            line |= {"error": str(error)}
            print(f"{image}: {error}", file=sys.stderr)
        except heroserve.HeroserveError:  # the service's, and retried already: what is under way ends, nothing begins
            images.clear()
            raise
        out.write(json.dumps(line) + "\n")
        out.flush()
    return failed


async def main(images: list[str], question: str, out: Path) -> int:
    """How many were not answered."""
    done = answered(out)
    left = deque(image for image in images if (image, question) not in done)
    print(f"{len(images) - len(left)} answered before, {len(left)} to go", file=sys.stderr)
    async with heroserve.AsyncClient(
        os.environ.get("HEROSERVE_TARGET", "localhost:9001"),
        api_key=os.environ.get("HEROSERVE_API_KEY"),
        retry=heroserve.RetryPolicy(wait_for_service=False),  # where nobody is, say so at once
    ) as client:
        with out.open("a") as file:
            workers = (worker(client, left, question, file) for _ in range(AT_ONCE))
            ends = await asyncio.gather(*workers, return_exceptions=True)
    failed = 0
    for end in ends:
        if isinstance(end, BaseException):
            raise end
        failed += end
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("--out", type=Path, default=Path("answers.jsonl"))
    try:
        sys.exit(1 if asyncio.run(main(**vars(parser.parse_args()))) else 0)
    except OSError as error:
        sys.exit(f"--out can't be used: {error}")
    except (ValueError, KeyError, TypeError):
        sys.exit("--out is a file of something else than answers; name another")
    except heroserve.HeroserveError as error:
        sys.exit(f"stopped with {error.code.name}: {error}; the same command goes on")
