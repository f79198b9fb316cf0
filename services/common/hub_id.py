"""What else than a hub id people write for a model."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
# A model's page, with or without the revision that it shows, and what git takes.
_PATH = re.compile(
    r"/(?:models/)?(?P<id>[\w.-]+/[\w.-]+?)(?:\.git)?(?:/(?:tree|blob|resolve|commit)/(?P<revision>[^/]+).*)?/?$"
)


def no_hub_id(name: str, revision: str) -> str:
    """Why what is no folder can't be a hub id either; "" if it can.

    Args:
        name: as it is set.
        revision: the variable that names a revision of it.
    """
    if Path(name).exists():
        return "it is a file; expected a folder, or a hub id"
    if leads_nowhere(Path(name)):
        return f"it is a link to {os.readlink(name)}, which is not there"
    if name.startswith("~"):
        return "~ stands for no folder here; write the whole path"
    address = _web_address(name)
    if address is not None:
        page = _PATH.match(address)
        if page is None:
            return "it is a web address; expected a folder, or a hub id such as llava-hf/llava-v1.6-vicuna-7b-hf"
        shown = page["revision"]
        also = "" if shown in (None, constants.DEFAULT_REVISION) else f", and {revision}={shown}"
        return f"it is a web address; write {page['id']}{also}"
    try:
        validate_repo_id(name)
    except HFValidationError:
        return "there is no such folder"
    return ""


def leads_nowhere(path: Path) -> bool:
    """Whether it is a link to what is not there, or to itself."""
    return path.is_symlink() and not path.exists()


def _web_address(name: str) -> str | None:
    """The path of a model's address at the hub; "" of an address elsewhere; None of what is none."""
    if name.startswith("git@"):
        name = f"https://{name.removeprefix('git@').replace(':', '/', 1)}"
    elif name.startswith("hf://"):
        name = f"https://hf.co/{name.removeprefix('hf://')}"
    elif name.lower().startswith(tuple(f"{host}/" for host in _HOSTS)):
        name = f"https://{name}"
    if not re.match(r"[a-z][a-z+]*://", name, re.IGNORECASE):
        return None
    try:
        parts = urlsplit(name)
        host = parts.hostname
    except ValueError:
        return ""
    return parts.path if host in (*_HOSTS, urlsplit(constants.ENDPOINT).hostname) else ""
