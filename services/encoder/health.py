"""``python -m services.encoder.health``: whether the service on this machine takes requests."""

from services.common import health
from services.encoder.settings import EncoderSettings

if __name__ == "__main__":
    health.main(EncoderSettings)
