"""What a request may end with: statuses of gRPC and of HTTP, and the SDK's exceptions."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

from heroserve.errors import EXCEPTIONS
from scripts.reference.markdown import head, plain, table
from services.common import errors
from services.common.http_call import told

ROOT = Path(__file__).resolve().parents[2]
_WORDS = """\
A message begins with the field at fault where there is one, in the caller's own words
(`messages[0].parts[1].image` over gRPC, `messages[0].content[1].image_url` over HTTP), and names the limit.
When each comes, and who tries again: [architecture](../architecture.md#errors); what to do about the commoner
ones: [troubleshooting](../troubleshooting.md)."""
_BODY = """
An error over HTTP is `{"error": {"message",
"type", "param", "code"}}`, as OpenAI's API has it. `retry-after` and `retry-after-ms` say when to come back,
`x-should-retry: false` that no try will help, `x-request-id` what the logs call the request.
"""
_ROOM = "\nThe label `reason` of `heroserve_{encoder,chat}_exhausted_total`.\n"
_OWN = "\nBeside those above, HTTP has statuses and codes of its own:\n"


def page() -> str:
    text = head("Errors and statuses", "services/common/errors.py, services/common/http_call.py and the SDK", _WORDS)
    text += "\n## By status\n"
    rows = (_row(kind) for kind in kinds())
    text += table(("gRPC", "HTTP", "`type` over HTTP", "`code`", "in the SDK", "when"), rows)
    text += f"\n## Over HTTP\n{_BODY}{_OWN}"
    own = ((str(status), f"`{code}`", _WHEN[status, code]) for status, code in sorted(http_errors()))
    text += table(("HTTP", "`code`", "when"), own)
    text += f"\n## Why there is no room\n{_ROOM}"
    return text + table(("reason", "what was full"), ((f"`{name}`", words) for name, words in _REASONS.items()))


# Of each that the code makes; whoever adds one says here when it comes.
_WHEN = {
    (400, "invalid_image_url"): "an image's address can't be fetched, or may not be",
    (400, "unsupported_parameter"): "a field would change the answer, and is not served; `param` names it",
    (403, "cross_site"): "a web page of another origin asked, where no keys are set",
    (404, "file_not_found"): "a file's id is none, or its image is not kept any more: upload it again",
    (404, "model_not_found"): "another model than the one of `/v1/models`",
    (404, "unknown_url"): "no such path",
    (405, "not_served"): "OpenAI's API has it; here it is refused, and the message says why",
    (405, "unknown_url"): "the path has other methods; `allow` names them",
    (408, "request_timeout"): "the body did not come in time",
    (413, "request_too_large"): "the body is longer than the limit, which the message names",
    (415, "unsupported_encoding"): "the body is packed (`content-encoding`)",
}
_REASONS: dict[errors.Reason, str] = {
    "wait": "it would wait too long for its turn",
    "line": "the replica's line",
    "share": "the line, of its caller's own requests",
    "proxy": "the proxy has as many under way as replicas take",
    "serve": "Ray Serve's own bound",
    "rate": "`HEROSERVE_KEY_RATE`, the key's quota",
    "concurrency": "`HEROSERVE_KEY_CONCURRENCY`, the key's quota",
    "images": "too many new pictures wait to be encoded",
    "encoder": "the encoder said so",
    "engine": "the engine",
}


def kinds() -> list[type[errors.ServiceError]]:
    """Those with a status each, in their order in the code."""
    found = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.ServiceError)]
    return found[1:]


def http_errors() -> set[tuple[int, str]]:
    """Status and code of each HttpError that the services make."""
    found = set()
    for path in sorted((ROOT / "services").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name("HttpError"), args=[ast.Constant(int(status)), ast.Constant(str(code)), *_]
                ):
                    found.add((status, code))
    return found


def _row(kind: type[errors.ServiceError]) -> tuple[str, ...]:
    status, body = told(_one(kind))
    means = json.loads(body)["error"]
    tree = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("  ")]
    words = dict(line.split(maxsplit=1) for line in tree)
    own = f"`{means['code']}`" if means["code"] else ""
    in_sdk = EXCEPTIONS[kind.code].__name__
    return f"`{kind.code.name}`", str(status), f"`{means['type']}`", own, f"`{in_sdk}`", plain(words[kind.__name__])


def _one(kind: type[errors.ServiceError]) -> errors.ServiceError:
    if issubclass(kind, errors.InvalidArgument):
        return kind("field", "problem")
    if issubclass(kind, errors.ResourceExhausted):
        return kind("message", reason="wait")
    return kind("message")
