"""One question about one image: the answer as it is written, what it cost, and what may go wrong.

    python examples/ask.py IMAGE QUESTION

HEROSERVE_TARGET says where the LLM service is, HEROSERVE_API_KEY who asks.
"""

import argparse
import os
import sys

import heroserve


def main(image: str, question: str) -> None:
    # One client for the whole program: it is thread-safe, keeps its connection, and remembers which images the service
    # has, which are then sent as 32 bytes.
    with heroserve.Client(
        os.environ.get("HEROSERVE_TARGET", "localhost:9001"),
        api_key=os.environ.get("HEROSERVE_API_KEY"),
        timeout_s=60,
        # Who sits there would rather know that nobody is; a service's own client waits for it.
        retry=heroserve.RetryPolicy(wait_for_service=False),
    ) as client:
        # To leave the `with` early cancels what is not written yet.
        with client.stream(image, question, retention=0.2) as stream:
            for piece in stream:
                print(piece, end="", flush=True)
        print()
        answer = stream.answer
        print(f"{answer.savings.dropped} of {answer.savings.total} visual tokens dropped", file=sys.stderr)

        # A conversation: the service keeps nothing of it, so all turns are sent, the image as its digest.
        turns = [heroserve.user(question, image), heroserve.assistant(answer.text), heroserve.user("and what else?")]
        more = client.generate(heroserve.generate_request(turns, max_tokens=16)).read()
        print(f"second turn: {more.usage.prompt_tokens} tokens read, {more.text!r}", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("question", metavar="QUESTION")
    try:
        main(**vars(parser.parse_args()))
    except heroserve.ImageError as error:  # not there, not readable, too large: nothing was sent
        sys.exit(f"the image can't be sent: {error}")
    except heroserve.InvalidArgument as error:  # the message names the field and its limit; trying again won't help
        sys.exit(f"refused: {error}")
    except heroserve.HeroserveError as error:  # retried already, for as long as `timeout_s` lets the client
        sys.exit(f"failed with {error.code.name}: {error} (request {error.request_id})")
