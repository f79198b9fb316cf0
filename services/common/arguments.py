"""What stands behind `python -m services.encoder` or `services.llm`: nothing does."""

from __future__ import annotations

import sys


def take_none(service: str) -> None:
    """Ends the process where there are any: told how it is set up, or that it takes none."""
    given = sys.argv[1:]
    if not given:
        return
    usage = f"python -m services.{service}: set up by environment variables HEROSERVE_*, see README.md under Settings"
    if given[0] in ("-h", "--help"):
        sys.stdout.write(f"{usage}\n")
        sys.exit(0)
    sys.stderr.write(f"heroserve: {given[0][:80]!r}: a service takes no arguments; {usage}\n")
    sys.exit(2)
