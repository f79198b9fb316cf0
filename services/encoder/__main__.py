"""``python -m services.encoder``: the encoder service on this machine."""

from __future__ import annotations

from services.common import arguments, node, own_ray, standard_files

standard_files.settle()
arguments.take_none("encoder")
node.set_environment()
own_ray.close()

from services.encoder.app import build  # noqa: E402
from services.encoder.settings import EncoderSettings  # noqa: E402

node.main(EncoderSettings.from_env, build)
