"""``python -m services.llm.fetch``: the checkpoint's language half."""

from services.common import fetch
from services.llm import parts
from services.llm.settings import LlmSettings

if __name__ == "__main__":
    fetch.main(LlmSettings, parts.check)
