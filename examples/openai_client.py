"""The same service by OpenAI's own package: an image uploaded once, answers streamed, HERO's knobs in `extra_body`.

    pip install openai
    python examples/openai_client.py IMAGE QUESTION

OPENAI_BASE_URL says where the LLM service's HTTP port is, OPENAI_API_KEY who asks.
"""

import argparse
import os
import sys
from pathlib import Path

import openai


def main(image: Path, question: str) -> None:
    picture = (image.name, image.read_bytes())  # before anybody is asked
    client = openai.OpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://localhost:8001/v1"),
        # The package wants one; the service does only where HEROSERVE_API_KEYS is set.
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
    )
    model = client.models.list().data[0]

    # Crosses the network once, and is encoded now: every question behind it sends 64 characters and finds it cached.
    file = client.files.create(file=picture, purpose="vision")

    def ask(retention: float) -> None:
        stream = client.chat.completions.create(
            model=model.id,
            messages=[
                {
                    "role": "user",
                    "content": [{"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": question}],
                }
            ],
            max_completion_tokens=64,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"heroserve": {"retention": retention}},
        )
        for chunk in stream:
            for choice in chunk.choices:
                print(choice.delta.content or "", end="", flush=True)
            if chunk.usage:  # the last one, which has no choices
                visual = chunk.usage.heroserve["visual_tokens"]
                print(f"\t{visual['kept']} of {visual['total']} visual tokens")

    for retention in (1.0, 0.2):
        try:
            ask(retention)
        except openai.NotFoundError as error:
            # A cache may forget. The id is the file's SHA-256, so it is the same after another upload.
            if error.code != "file_not_found":
                raise
            client.files.create(file=picture, purpose="vision")
            ask(retention)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("question", metavar="QUESTION")
    try:
        main(**vars(parser.parse_args()))
    except OSError as error:
        sys.exit(f"the image can't be read: {error}")
    except openai.APIStatusError as error:  # `message` names the field, `param` is it; 429 and 5xx were retried already
        sys.exit(f"refused with {error.status_code}: {error.message}")
    except openai.APIConnectionError as error:
        sys.exit(f"nobody answers at {error.request.url}: {error.__cause__ or error}; OPENAI_BASE_URL says where else")
