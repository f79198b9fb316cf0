"""``python -m services.encoder.fetch``: the checkpoint's vision half, and the CLIP that is asked about questions."""

from services.common import fetch
from services.encoder import parts
from services.encoder.settings import EncoderSettings

if __name__ == "__main__":
    fetch.main(EncoderSettings, parts.check_models)
