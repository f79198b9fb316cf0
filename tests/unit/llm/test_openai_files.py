"""Uploads over OpenAI's API: a form is read within bounds, an image is kept by its digest, and asked about by that."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from services.common.admission import Admission, Line
from services.common.errors import InvalidArgument, ResourceExhausted
from services.common.gate import Gate
from services.llm import metrics, parts
from services.llm.answer import Bill, Savings, Timings, Usage
from services.llm.doors.openai import form, routes
from services.llm.encoded import PlannedImage
from services.llm.job import ImagePart
from services.llm.kept_images import KeptImages
from services.llm.refusal import Refusal, Role
from services.llm.settings import LlmSettings
from tests.support.llm_parts import picture, png

DATA = png(picture(120, 90))
DIGEST = hashlib.sha256(DATA).hexdigest()
BOUNDARY = "b0undary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def body(*named: tuple[str, bytes], end: str = "--", head: str = "") -> bytes:
    """A form; a name may hold more of the header."""
    found = b"".join(
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{head}\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in named
    )
    return found + f"--{BOUNDARY}{end}\r\n".encode()


def test_a_form_as_it_is_sent():
    data = bytes(range(256)) * 300 + b"\r\n--b0undar" + b"\r\n--" * 50
    parts = form.parse(
        body(("purpose", b"vision"), ('file"; filename="scène.png', data)), 'Multipart/Form-Data; boundary="b0undary"'
    )
    assert parts["purpose"].data == b"vision"
    assert (parts["file"].data, parts["file"].filename) == (data, "scène.png")


NO_FORMS = {
    "no type": ("", body(("file", b"x")), "content-type"),
    "JSON": ("application/json", b"{}", "content-type"),
    "no boundary": ("multipart/form-data", body(("file", b"x")), "content-type"),
    "another boundary": ("multipart/form-data; boundary=other", body(("file", b"x")), "body"),
    "a long boundary": ("multipart/form-data; boundary=" + "b" * 5000, b"x", "body"),
    "nothing": (TYPE, b"", "body"),
    "no end": (TYPE, body(("file", b"x"), end=""), "body"),
    "cut": (TYPE, body(("file", b"x"))[:-20], "body"),
    "no name": (TYPE, body(('"; x="', b"x")), "body"),
    "many parts": (TYPE, body(*((f"p{i}", b"") for i in range(200_000))), "body"),
    "many headers": (TYPE, body(("file", b"x"), head="\r\nx: y" * 1000), "body"),
    "a long header": (TYPE, body(("file", b"x"), head="\r\nx: " + "y" * 100_000), "body"),
    "twice": (TYPE, body(("file", b"x"), ("file", b"y")), "body"),
    "a long text": (TYPE, body(("purpose", b"x" * 1025)), "purpose"),
    "packed": (TYPE, body(("file", b"eA=="), head="\r\ncontent-transfer-encoding: base64"), "file"),
}


@pytest.mark.parametrize("name", NO_FORMS)
def test_what_is_no_form(name: str):
    content_type, data, field = NO_FORMS[name]
    with pytest.raises(InvalidArgument) as refused:
        form.parse(data, content_type)
    assert refused.value.field == field
    assert len(refused.value.message) < 300
    assert refused.value.message.isprintable()


class Keeper:
    """An encoder that keeps what it is asked to plan, as long as it has room."""

    def __init__(self) -> None:
        self.kept: set[str | None] = set()
        self.room = True
        self.error: Exception | None = None

    async def plan(
        self, place: Role, image: ImagePart, question: str, budget: Any, *, explain: bool = False
    ) -> PlannedImage:
        if self.error:
            raise self.error
        assert question
        if image.data is None:
            if image.digest not in self.kept:
                raise Refusal(Role("image_digest", place.turn, place.item), "the encoder's words", missing=True)
            return PlannedImage(10, 2, 0.0, "hit")
        if not image.data.startswith(b"\x89PNG"):
            raise Refusal(Role("image_data", place.turn, place.item), "is not an image")
        if not self.room:
            return PlannedImage(10, 2, 0.0, "bypass")
        self.kept.add(hashlib.sha256(image.data).hexdigest())
        return PlannedImage(10, 2, 0.0, "miss")

    async def fetch(self, *arguments: Any, explain: bool = False) -> Any:
        return await self.plan(*arguments)


class Heart:
    """Remembers what it is asked, and has the encoder refuse what it has not."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.asked: list[Any] = []

    async def generate(self, job: Any) -> Any:
        self.asked.append(job)
        for place, image in job.images:
            await self._keeper.plan(place, image, "?", None)
        usage = Usage(3, 0, 0, 1)
        yield Bill("stop", usage, Savings(0, 0), Timings(0, 0, 0))


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def heart(keeper: Keeper) -> Heart:
    return Heart(keeper)


async def nothing_to_tell() -> dict[str, Any]:
    return {}


@pytest.fixture
def web(keeper: Keeper, heart: Heart) -> TestClient:
    app = routes.application(
        gate=Gate(("k",), metrics.REQUESTS, metrics.EXHAUSTED, 60),
        admission=Admission(4, Line(10, 10.0, 1 << 20)),
        uploads=Admission(4, Line(10, 10.0, 1 << 20)),
        chat=heart,
        kept=KeptImages(keeper),
        describe=nothing_to_tell,
        fetcher=parts.open_fetcher(LlmSettings()),
        model="tiny",
        context_length=100,
        detail=False,
        max_images=4,
        timeout_s=60,
    )
    return TestClient(app, headers={"authorization": "Bearer k"})


@pytest.fixture
def api(web: TestClient) -> openai.OpenAI:
    return openai.OpenAI(base_url="http://testserver/v1", api_key="k", http_client=web, max_retries=0)


def ask(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*content, {"type": "text", "text": "What?"}]}]}


def test_openais_own_client_uploads_and_the_id_is_the_digest(api: openai.OpenAI, keeper: Keeper):
    file = api.files.create(file=("scene.png", DATA, "image/png"), purpose="vision")
    assert (file.id, file.bytes, file.filename, file.purpose) == (DIGEST, len(DATA), "scene.png", "vision")
    assert (file.object, file.status) == ("file", "processed")
    assert keeper.kept == {DIGEST}
    found = api.files.retrieve(file.id)
    assert (found.id, found.status, found.bytes) == (DIGEST, "processed", None)
    assert api.files.create(file=DATA, purpose="vision").id == DIGEST


# How clients name it.
PARTS = {
    "a file": {"type": "file", "file": {"file_id": DIGEST}},
    "a file with a name": {"type": "file", "file": {"file_id": DIGEST, "filename": "x.png", "format": "image/png"}},
    "as OpenAI's ids begin": {"type": "file", "file": {"file_id": f"file-{DIGEST}"}},
    "a url": {"type": "image_url", "image_url": {"url": DIGEST, "detail": "low"}},
    "a bare one": {"type": "image_url", "image_url": f" {DIGEST}\n"},
    "beside it": {"type": "image_url", "image_url": None, "file_id": DIGEST},
    "in it": {"type": "image_url", "image_url": {"file_id": DIGEST}},
    "as assistants have it": {"type": "image_file", "image_file": {"file_id": DIGEST, "detail": "auto"}},
    "as the newer API has it": {"type": "input_image", "file_id": DIGEST, "detail": "auto"},
    "its url": {"type": "input_image", "image_url": DIGEST},
    "its file": {"type": "input_file", "file_id": DIGEST},
}
FIELDS = {
    "a file": ".file.file_id",
    "a file with a name": ".file.file_id",
    "as OpenAI's ids begin": ".file.file_id",
    "a url": ".image_url.url",
    "a bare one": ".image_url",
    "beside it": ".file_id",
    "in it": ".image_url.file_id",
    "as assistants have it": ".image_file.file_id",
    "as the newer API has it": ".file_id",
    "its url": ".image_url",
    "its file": ".file_id",
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_names_it_as_clients_do(web: TestClient, heart: Heart, keeper: Keeper, name: str):
    keeper.kept.add(DIGEST)
    web.post("/v1/chat/completions", json=ask(PARTS[name]))
    (job,) = heart.asked
    assert job.turns[0].parts[0] == ImagePart(digest=DIGEST)


@pytest.mark.parametrize("name", PARTS)
def test_what_is_not_kept_is_to_be_uploaded_again(web: TestClient, name: str):
    answered = web.post("/v1/chat/completions", json=ask({"type": "text", "text": "x"}, PARTS[name]))
    error = answered.json()["error"]
    field = "messages[0].content[1]" + FIELDS[name]
    assert (answered.status_code, error["code"], error["param"]) == (404, "file_not_found", field)
    assert error["message"].startswith(f"{field}: ")
    assert "upload it to /v1/files again" in error["message"]


def test_a_file_within_a_part(web: TestClient, heart: Heart):
    url = "data:image/png;base64," + base64.b64encode(DATA).decode()
    for part in (
        {"type": "file", "file": {"file_data": url, "filename": "x.png"}},
        {"type": "input_image", "image_url": url},
        {"type": "input_file", "file_data": url},
    ):
        web.post("/v1/chat/completions", json=ask(part))
        assert heart.asked.pop().turns[0].parts[0] == ImagePart(data=DATA)
    no_image = url.replace("data:image/png;base64,", "data:application/pdf;base64,JVBERi0x")
    told = web.post("/v1/chat/completions", json=ask({"type": "file", "file": {"file_data": no_image}})).json()["error"]
    assert told["param"] == "messages[0].content[0].file.file_data"


@pytest.mark.parametrize(
    ("part", "field", "problem"),
    [
        ({"type": "file"}, "file", "null"),
        ({"type": "file", "file": {}}, "file.file_id", "null"),
        ({"type": "file", "file": {"file_id": 5}}, "file.file_id", "a string"),
        ({"type": "file", "file": {"file_id": "file-abc123"}}, "file.file_id", "'file-abc123' is no id"),
        ({"type": "file", "file": {"file_id": DIGEST.upper()}}, "file.file_id", "is no id that /v1/files gives"),
        ({"type": "file", "file": {"file_id": DIGEST[:-1]}}, "file.file_id", "is no id that /v1/files gives"),
        ({"type": "file", "file": {"file_id": "../../etc/passwd"}}, "file.file_id", "'../../etc/passwd' is no id"),
        ({"type": "file", "file": {"file_id": "ftp:x"}}, "file.file_id", "'ftp:x' is no id"),
        ({"type": "image_file", "image_file": {}}, "image_file.file_id", "null"),
        ({"type": "input_image"}, "image_url", "null"),
        ({"type": "input_file"}, "file_id", "null"),
        ({"type": "image_url", "image_url": "https://a.com/x.png"}, "image_url", "HEROSERVE_IMAGE_HOSTS"),
    ],
)
def test_what_names_no_image(web: TestClient, part: Any, field: str, problem: str):
    answered = web.post("/v1/chat/completions", json=ask(part))
    error = answered.json()["error"]
    assert (answered.status_code, error["param"]) == (400, f"messages[0].content[0].{field}")
    assert problem in error["message"]


UPLOADS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no image": ({"files": {"file": b"text"}, "data": {"purpose": "vision"}}, 400, "file"),
    "empty": ({"files": {"file": b""}, "data": {"purpose": "vision"}}, 400, "file"),
    "more than a message holds": ({"files": {"file": bytes(65 << 20)}, "data": {"purpose": "vision"}}, 400, "file"),
    "no file": ({"files": {"other": b"x"}, "data": {"purpose": "vision"}}, 400, "file"),
    "no purpose": ({"files": {"file": DATA}}, 400, "purpose"),
    "another purpose": ({"files": {"file": DATA}, "data": {"purpose": "assistants"}}, 400, "purpose"),
    "an end": (
        {"files": {"file": DATA}, "data": {"purpose": "vision", "expires_after[anchor]": "created_at"}},
        400,
        "expires_after[anchor]",
    ),
    "JSON": ({"json": {"purpose": "vision"}}, 400, "content-type"),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_refused_uploads_name_the_field(web: TestClient, keeper: Keeper, name: str):
    sent, status, field = UPLOADS[name]
    answered = web.post("/v1/files", **sent)
    error = answered.json()["error"]
    assert (answered.status_code, error["param"]) == (status, field)
    assert error["message"].startswith(f"{field}: ")
    assert not keeper.kept


def test_where_nothing_can_be_kept_it_is_said(api: openai.OpenAI, keeper: Keeper):
    keeper.room = False
    with pytest.raises(openai.InternalServerError, match="send the image with the question") as refused:
        api.files.create(file=DATA, purpose="vision")
    assert refused.value.status_code == 503
    keeper.error = ResourceExhausted("too many new images", 1.2, reason="encoder")
    with pytest.raises(openai.RateLimitError) as refused:
        api.files.create(file=DATA, purpose="vision")
    assert refused.value.response.headers["retry-after"] == "2"


def test_what_is_not_served_of_files_says_why(api: openai.OpenAI, web: TestClient):
    for call, words in (
        (lambda: api.files.list(), "not listed"),
        (lambda: api.files.delete(DIGEST), "not deleted"),
        (lambda: api.files.content(DIGEST), "content of a file is not kept"),
    ):
        with pytest.raises(openai.APIStatusError, match=words) as refused:
            call()
        assert refused.value.status_code == 405
    for name in (DIGEST, "file-abc", "a/b"):
        answered = web.get(f"/v1/files/{name}")
        assert (answered.status_code, answered.json()["error"]["code"]) == (404, "file_not_found")


def test_files_are_for_those_with_a_key(web: TestClient, keeper: Keeper):
    for call in (
        lambda: web.post("/v1/files", files={"file": DATA}, data={"purpose": "vision"}, headers={"authorization": "x"}),
        lambda: web.get(f"/v1/files/{DIGEST}", headers={"authorization": "x"}),
        lambda: web.get("/v1/files", headers={"authorization": "x"}),
    ):
        assert call().status_code == 401
    assert not keeper.kept
