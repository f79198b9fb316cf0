"""Many questions about one image at once: it is encoded for the first, and read from the cache for all others.

    python examples/many_questions.py IMAGE QUESTION [QUESTION ...]

A question, its answer and its seconds a line; what is not answered goes to stderr, and makes the exit status 1.
"""

import argparse
import asyncio
import os
import sys

import heroserve

AT_ONCE = 16


async def main(image: str, questions: list[str]) -> int:
    """How many were not answered."""
    free = asyncio.Semaphore(AT_ONCE)  # more would only wait in the service's line in place of ours

    async with heroserve.AsyncClient(
        os.environ.get("HEROSERVE_TARGET", "localhost:9001"),
        api_key=os.environ.get("HEROSERVE_API_KEY"),
        retry=heroserve.RetryPolicy(wait_for_service=False),  # where nobody is, say so at once
    ) as client:

        async def ask(question: str) -> heroserve.Answer:
            async with free:
                return await client.ask(image, question, retention=0.2, max_tokens=64)

        # The first alone: once the service has taken the image up, the others send its digest, not its bytes.
        first, *others = questions
        answers = await asyncio.gather(ask(first), return_exceptions=True)
        answers += await asyncio.gather(*map(ask, others), return_exceptions=True)

    failed = 0
    for question, answer in zip(questions, answers, strict=True):
        match answer:
            case heroserve.Answer():
                print(f"{question}\t{answer.text}\t{answer.timings.total_s:.2f} s")
            case heroserve.HeroserveError():  # one that fails costs the others nothing
                failed += 1
                print(f"{question}: {answer.code.name}: {answer}", file=sys.stderr)
            case BaseException():
                raise answer
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("questions", nargs="+", metavar="QUESTION")
    sys.exit(1 if asyncio.run(main(**vars(parser.parse_args()))) else 0)
