"""``python -m services.encoder``: the encoder service on this machine."""

from __future__ import annotations

import signal

from services.common import arguments, node, own_ray, standard_files

# Until it can stop in peace there is nothing to be said of a Ctrl-C.
signal.signal(signal.SIGINT, signal.SIG_DFL)
standard_files.settle()
arguments.take_none("encoder")
node.set_environment()
own_ray.close()

from services.encoder.app import build  # noqa: E402
from services.encoder.settings import EncoderSettings  # noqa: E402

node.main(EncoderSettings.from_env, build)
