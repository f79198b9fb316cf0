"""``python -m services.llm.health``: whether the service on this machine takes requests."""

from services.common import health
from services.llm.settings import LlmSettings

if __name__ == "__main__":
    health.main(LlmSettings)
