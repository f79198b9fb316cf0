"""What a model's name stands for is settled once: one question to the hub, and none of what the cache has."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from scripts.redis_server import free_port
from services.common import snapshot
from services.common.checkpoint import Checkpoint
from services.common.identity import identify
from services.common.settings import SettingError
from services.common.shown import assigned
from services.common.weights.index import weight_files
from services.encoder import parts as encoder
from services.encoder.settings import EncoderSettings
from services.llm import parts as llm
from services.llm.engines.registry import open_engine
from services.llm.settings import LlmSettings
from tests.support.hub import Hub, Silent, commit, point_to, serving
from tests.support.shards import shard

MODEL, CLIP = "someone/a-model", "someone/a-clip"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hub(untrained: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """With the tests' model, its CLIP apart, and this process pointed to it."""
    with serving(Hub()) as hub:
        hub.push(MODEL, Path(untrained))
        hub.push(CLIP, Path(untrained) / "clip")
        point_to(monkeypatch, hub.endpoint, cache)
        yield hub


@pytest.fixture
def silent() -> Iterator[Silent]:
    silent = Silent()
    yield silent
    silent.close()


def model(revision: str = "", name: str = MODEL) -> Checkpoint:
    return Checkpoint(name, "HEROSERVE_MODEL", revision)


def refusal(source: Checkpoint) -> str:
    with pytest.raises(SettingError) as refused:
        _ = source.snapshot
    (line,) = str(refused.value).splitlines()
    return line


def open_encoder() -> None:
    """All that the encoder's processes do with its checkpoints."""
    settings = EncoderSettings(model=MODEL, relevance_model=CLIP)
    sources = encoder.check(settings)
    # Each replica has its own, off the wire.
    for replica in (pickle.loads(pickle.dumps(sources)) for _ in range(2)):
        identify(replica.model)
        encoder.open_tower(settings, replica)
        encoder.open_embedder(settings, replica)


def open_llm() -> None:
    """All that the LLM service's processes do with its checkpoint."""
    settings = LlmSettings(model=MODEL)
    source = llm.model(settings)
    settings = llm.settled(settings, source)
    llm.check(settings, source)
    replica = pickle.loads(pickle.dumps(source))
    identify(replica)
    open_engine(settings, replica)
    llm.open_splicer(settings, replica)
    assert llm.open_prompts(settings, replica).places_images


SERVICES = [(open_encoder, 2), (open_llm, 1)]


@pytest.mark.parametrize(("opened", "checkpoints"), SERVICES)
def test_the_hub_is_asked_once_a_checkpoint_for_its_commit(hub, opened, checkpoints):
    opened()
    first = list(hub.requests)
    assert sum(asked.startswith("GET /api/") for asked in first) == checkpoints, first
    # Each file is looked at and fetched once, and none that the commit does not have.
    assert len(first) == len(set(first))
    assert all(hub.answer(asked.split()[1])[0] == 200 for asked in first)
    hub.requests.clear()
    opened()
    assert all(asked.startswith("GET /api/") for asked in hub.requests)
    assert len(hub.requests) == checkpoints


@pytest.mark.parametrize(("opened", "fetched"), [(open_encoder, "tower"), (open_llm, "rest")])
def test_only_files_that_a_half_needs_are_fetched(hub, folder, opened, fetched):
    shard(folder)
    hub.push(MODEL, folder)
    opened()
    shards = [asked for asked in hub.requests if asked.startswith(f"GET /{MODEL}/") and "safetensors" in asked]
    assert [asked.rpartition("/")[2] for asked in shards] == ["model.safetensors.index.json", f"{fetched}.safetensors"]


def test_a_process_of_its_own(hub, silent, cache):
    """As both services start, with what they set for Hugging Face's libraries in the environment."""
    open_encoder()
    open_llm()
    script = f"""
from services.common import node
node.set_environment()
from services.common import hub
hub._TIMEOUT_S = 0.5
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm
build_encoder({{"HEROSERVE_MODEL": {MODEL!r}, "HEROSERVE_RELEVANCE_MODEL": {CLIP!r}}})
build_llm({{"HEROSERVE_MODEL": {MODEL!r}}})
"""
    environment = {**os.environ, "HF_ENDPOINT": silent.endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
    assert silent.connections == 3
    assert process.stderr.count("the hub can't be asked") == 3


@pytest.mark.parametrize(("opened", "checkpoints"), SERVICES)
@pytest.mark.parametrize("silence", [False, True], ids=["closed", "silent"])
def test_a_filled_cache_is_enough(hub, silent, cache, monkeypatch, caplog, opened, checkpoints, silence):
    opened()
    monkeypatch.setattr("services.common.hub._TIMEOUT_S", 0.2)
    point_to(monkeypatch, silent.endpoint if silence else f"http://127.0.0.1:{free_port()}", cache)
    # Nor does anything depend on what the cache remembers as missing.
    for forgotten in cache.glob("*/.no_exist"):
        shutil.rmtree(forgotten)
    with caplog.at_level(logging.WARNING):
        opened()
    told = [record.getMessage() for record in caplog.records if record.name == snapshot.__name__]
    assert len(told) == checkpoints
    assert all("the hub can't be asked" in line and len(line.splitlines()) == 1 for line in told)
    assert hub.refs[MODEL]["main"] in told[0]
    if silence:
        assert silent.connections == checkpoints


def test_offline_nobody_is_asked_and_nothing_said(hub, silent, cache, monkeypatch, caplog):
    open_llm()
    point_to(monkeypatch, silent.endpoint, cache)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with caplog.at_level(logging.WARNING):
        open_llm()
    assert not [record for record in caplog.records if record.name == snapshot.__name__]
    assert silent.connections == 0


def test_a_cache_without_the_file_that_is_needed_says_so(hub, cache, monkeypatch):
    assert model().path("config.json")
    point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    source = model()
    assert source.path("config.json")
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='someone/a-model': it has no weights"):
        weight_files(source)


def test_a_cache_that_has_commits_and_no_branch_names_them(hub, cache, monkeypatch):
    made = model().snapshot.commit
    point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    shutil.rmtree(next(cache.glob("models--*/refs")))
    line = refusal(model())
    assert line.startswith(f"HEROSERVE_MODEL={MODEL!r}: ")
    assert all(said in line for said in (made, "Connection refused", "HEROSERVE_REVISION"))
    assert model(made).config.model_type == "llava_next"
    assert made in refusal(model("v2"))


def test_a_cache_laid_out_by_hand(untrained, cache, monkeypatch):
    """Its files are links to others, and nothing but a branch says which commit it is."""
    root = cache / "models--someone--a-model"
    for file in (file for file in Path(untrained).rglob("*") if file.is_file()):
        blob = root / "blobs" / commit(str(file))
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blob)
        link = root / "snapshots" / "0123abc" / file.relative_to(untrained)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0123abc\n")
    point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    open_llm()
    assert model().snapshot.commit == "0123abc"


def test_another_node_without_the_files_does_not_try_a_hub_that_was_out_of_reach(hub, silent, cache, monkeypatch):
    assert model().path("config.json")
    point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    handed_on = pickle.dumps(model())
    point_to(monkeypatch, silent.endpoint, cache.with_name("another"))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='someone/a-model': config.json can't be fetched \(.+\)$"):
        pickle.loads(handed_on).path("config.json")
    assert silent.connections == 0


def test_another_node_fetches_the_very_commit(hub, folder, cache, monkeypatch):
    handed_on = pickle.dumps(model())
    (folder / "config.json").write_text("{}")
    hub.push(MODEL, folder)
    hub.requests.clear()
    point_to(monkeypatch, hub.endpoint, cache.with_name("another"))
    assert pickle.loads(handed_on).config.model_type == "llava_next"
    assert {asked.split("/")[4] for asked in hub.requests} == {commit(f"{MODEL} 0")}


def test_replicas_stay_with_the_commit_that_was_found(hub, untrained, folder):
    source = model()
    before = identify(source)
    (folder / "config.json").write_text("{")
    assert hub.push(MODEL, folder) != hub.commits[MODEL]
    replica = pickle.loads(pickle.dumps(source))
    assert identify(replica) == before == f"commit:{commit(f'{MODEL} 0')}"
    assert replica.path("config.json").read_bytes() == (Path(untrained) / "config.json").read_bytes()
    assert identify(model()) == f"commit:{commit(f'{MODEL} 1')}"


def test_a_hub_that_answers_what_no_hub_does_is_one_that_cannot_be_asked(hub, monkeypatch, caplog):
    assert model().path("config.json")
    monkeypatch.setattr(hub, "answer", lambda path: (200, {"Content-Type": "text/html"}, b"<html>Log in"))
    assert model().snapshot.commit == hub.refs[MODEL]["main"]
    assert "the hub can't be asked" in caplog.text


def test_a_model_that_is_gone_is_served_from_the_cache(hub, caplog):
    assert model().path("config.json")
    del hub.commits[MODEL]
    assert model().path("config.json")
    assert "the hub can't be asked" in caplog.text


@pytest.mark.parametrize("cached", [False, True])
def test_a_branch_a_tag_and_a_commit(hub, folder, cache, monkeypatch, cached):
    (folder / "config.json").write_text('{"model_type": "clip"}')
    other = hub.push(MODEL, folder, "refs/pr/4")
    hub.refs[MODEL]["v1.0"] = other
    for revision in ("refs/pr/4", "v1.0", other):
        assert model(revision).config.model_type == "clip"
    assert model().config.model_type == model("main").config.model_type == "llava_next"
    if cached:
        point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    assert {model(revision).snapshot.commit for revision in ("refs/pr/4", "v1.0", other)} == {other}
    assert model().snapshot.commit != other


@pytest.mark.parametrize(
    "revision", ["no-such-branch", "0" * 40, "refs/pr/9", "..", "../main", "./main", "ünknown", "a b"]
)
@pytest.mark.parametrize("variable", ["HEROSERVE_MODEL", "HEROSERVE_RELEVANCE_MODEL"])
def test_an_unknown_revision_is_told_by_its_variable(hub, cache, monkeypatch, revision, variable):
    source = Checkpoint(MODEL, variable, revision)
    its = {"HEROSERVE_MODEL": "HEROSERVE_REVISION", "HEROSERVE_RELEVANCE_MODEL": "HEROSERVE_RELEVANCE_REVISION"}
    assert refusal(source).startswith(f"{its[variable]}={revision!r}: {variable}={MODEL!r} has no such")
    assert model().path("config.json")
    point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    line = refusal(Checkpoint(MODEL, variable, revision))
    assert line.startswith(f"{its[variable]}={revision!r}: ")
    assert "has no such" in line


def test_a_folder_has_no_revision(untrained):
    line = refusal(model("main", untrained))
    assert line.startswith(f"HEROSERVE_REVISION='main': HEROSERVE_MODEL={untrained!r} is a folder")
    with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_REVISION='v1'.*is a folder"):
        encoder.check(EncoderSettings(model=untrained, relevance_revision="v1"))
    with pytest.raises(SettingError, match=r"^HEROSERVE_RELEVANCE_REVISION='v1': HEROSERVE_RELEVANCE_MODEL is 'none'"):
        encoder.check(EncoderSettings(model=untrained, relevance_model="none", relevance_revision="v1"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("someone/nothing", "no such folder, and the hub has no such model"),
        ("nothing", "no such folder, and the hub has no such model"),
        ("./nowhere", "there is no such folder"),
        ("/no/where", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("x" * 5000, "File name too long"),
        (__file__, "it is a file"),
        ("~/models/mine", "~ stands for no folder here; write the whole path"),
        ("https://huggingface.co/llava-hf/x", "it is a web address; write llava-hf/x)"),
        ("https://huggingface.co/llava-hf/x-1.6/?a=b#c", "it is a web address; write llava-hf/x-1.6)"),
        ("https://huggingface.co/llava-hf/x/tree/main", "write llava-hf/x)"),
        ("https://hf.co/llava-hf/x/tree/v2/clip", "write llava-hf/x, and HEROSERVE_REVISION=v2)"),
        ("https://huggingface.co/llava-hf/x.git", "write llava-hf/x)"),
        ("git@hf.co:llava-hf/x", "write llava-hf/x)"),
        ("huggingface.co/llava-hf/x", "write llava-hf/x)"),
        ("hf://llava-hf/x", "write llava-hf/x)"),
        ("https://huggingface.co/x", "it is a web address; expected a folder, or a hub id"),
        ("https://example.org/a/b", "it is a web address; expected a folder, or a hub id"),
        ("http://[x/a/b", "it is a web address; expected a folder, or a hub id"),
    ],
)
def test_a_name_that_nothing_has(hub, name, told):
    line = refusal(model("", name))
    assert line.startswith(f"{assigned('HEROSERVE_MODEL', name)}: no checkpoint found (")
    assert told in line
    assert len(line) < 1000


def test_that_there_is_no_model_is_told_once(hub):
    for ask in (lambda source: source.path("config.json"), lambda source: source.folder):
        with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='a/b': no checkpoint found \("):
            ask(model("", "a/b"))


@pytest.mark.parametrize("target", ["/no/where", "link"])
def test_links_that_lead_nowhere_are_told(tmp_path, folder, target):
    link = tmp_path / "link"
    link.symlink_to(target)
    assert f"(it is a link to {target}, which is not there)" in refusal(model("", str(link)))
    # Which are no files that a model need not have.
    for name in ("config.json", "generation_config.json"):
        (folder / name).unlink()
        (folder / name).symlink_to("/no/where")
        told = rf"^HEROSERVE_MODEL=.*: {name} can't be read \(it is a link to /no/where, which is not there\)$"
        with pytest.raises(SettingError, match=told):
            model("", str(folder)).json(name)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "tokenizer.json"])
def test_a_file_that_the_hub_does_not_give_is_told_once(hub, monkeypatch, file):
    answer = hub.answer
    monkeypatch.setattr(hub, "answer", lambda path: (404, {}, b"") if path.endswith(f"/{file}") else answer(path))
    with pytest.raises(
        SettingError, match=r"^HEROSERVE_MODEL='someone/a-model': (?!.*HEROSERVE)[^:]* can't be fetched \(.*\)$"
    ):
        open_encoder() if file.startswith("pre") else open_llm()


def test_a_model_that_must_be_asked_for(hub):
    hub.gated.add(MODEL)
    assert "HF_TOKEN" in refusal(model())


@pytest.mark.parametrize("offline", [False, True])
def test_nothing_at_all(cache, monkeypatch, offline):
    point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    line = refusal(model())
    assert line.startswith(f"HEROSERVE_MODEL={MODEL!r}: no checkpoint found (")
    assert ("HF_HUB_OFFLINE is set" if offline else "Connection refused") in line


def test_a_relevance_default_that_cannot_be_had_tells_of_none(folder, cache, monkeypatch):
    shutil.rmtree(folder / "clip")
    point_to(monkeypatch, f"http://127.0.0.1:{free_port()}", cache)
    with pytest.raises(SettingError) as refused:
        encoder.check(EncoderSettings(model=str(folder)))
    (line,) = str(refused.value).splitlines()
    assert line.startswith("HEROSERVE_RELEVANCE_MODEL='openai/clip-vit-base-patch32': no checkpoint found (")
    assert "HEROSERVE_RELEVANCE_MODEL=none" in line
    encoder.check(EncoderSettings(model=str(folder), relevance_model="none"))


@pytest.mark.parametrize("cached", [False, True])
def test_a_hub_that_drips_is_given_up_when_the_whole_question_takes_too_long(hub, monkeypatch, caplog, cached):
    """Each read of it is quick."""
    if cached:
        assert model().path("config.json")
    monkeypatch.setattr("services.common.hub._TIMEOUT_S", 0.5)
    monkeypatch.setattr("services.common.hub._EMPTY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(hub, "dripping", (MODEL,))
    told = "the hub can't be asked (nothing more has come in 0.5 s)"
    if cached:
        assert model().snapshot.commit == hub.refs[MODEL]["main"]
        assert told in caplog.text
    else:
        assert told.replace(" (", ": ").rstrip(")") in refusal(model())


def test_a_file_that_drips_is_given_up_and_named(hub, monkeypatch):
    monkeypatch.setattr("services.common.download._STALL_S", 0.5)
    source = model()
    _ = source.snapshot
    hub.dripping = ("model.safetensors",)
    with pytest.raises(SettingError, match=r"model.safetensors can't be fetched \(nothing more has come in 0.5 s\)$"):
        source.path("model.safetensors")


def test_a_file_takes_as_long_as_it_takes_while_it_comes(hub, folder, monkeypatch):
    monkeypatch.setattr("services.common.download._STALL_S", 0.5)
    monkeypatch.setattr("services.common.download._PIECE_BYTES", 1)
    (folder / "slow.txt").write_text("x" * 80)
    hub.push(MODEL, folder)
    hub.dripping = ("slow.txt",)
    # Each byte in 20 ms.
    assert model().path("slow.txt").read_text() == "x" * 80


def test_a_file_that_the_hub_fails_at_is_told_with_the_status(hub, monkeypatch, caplog):
    # Or it would be tried again, for 23 s.
    monkeypatch.setattr("huggingface_hub.file_download._DEFAULT_RETRY_ON_STATUS_CODES", ())
    source = model()
    _ = source.snapshot
    hub.failing = ("model.safetensors",)
    with pytest.raises(SettingError, match=r"model.safetensors can't be fetched \(.*500.*\)$"):
        source.path("model.safetensors")
    assert not caplog.records


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"sha": "../../../../tmp/x"}, "names no commit, but '../../../../tmp/x'"),
        ({"sha": "/tmp"}, "names no commit"),
        ({"sha": None}, "names no commit, but None"),
        ({"sha": 5}, "names no commit, but 5"),
        ({"sha": "x" * 40}, "names no commit"),
        ({"siblings": [{"rfilename": "../../x.json"}]}, "names a file '../../x.json'"),
        ({"siblings": [{"rfilename": "additional_chat_templates/../../x.json"}]}, "names a file"),
        ({"siblings": [{"rfilename": "/tmp/x.json"}]}, "names a file '/tmp/x.json'"),
        ({"siblings": [{"rfilename": "x\0.json"}]}, r"names a file 'x\x00.json'"),
        ({"siblings": [{"rfilename": 5}]}, "names a file 5"),
        ({"siblings": [5]}, "none of a hub's"),
        ({"siblings": 5}, "none of a hub's"),
    ],
    ids=str,
)
def test_what_would_lead_out_of_the_cache_is_no_answer(hub, cache, odd, told):
    hub.odd = odd
    line = refusal(model())
    assert "the hub can't be asked: its answer " in line
    assert told in line
    assert not list(cache.rglob("*.json"))


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"x"', b"[" * 100_000, b"{}"], ids=lambda body: body[:9])
def test_an_answer_of_another_kind(hub, monkeypatch, body):
    monkeypatch.setattr(hub, "answer", lambda path: (200, {"Content-Type": "application/json"}, body))
    assert "the hub can't be asked: " in refusal(model())


def test_a_revision_longer_than_any_name(hub):
    for revision in ("x" * 300, "/".join(["x" * 50] * 100)):
        line = refusal(model(revision))
        assert "has no such branch, tag or commit" in line
        assert len(line) < 400


def test_a_cache_that_may_not_be_read_says_so(hub, monkeypatch):
    def forbidden(name):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("services.common.hub.cached_commits", forbidden)
    assert "the hub's cache can't be read ([Errno 13] Permission denied)" in refusal(model())


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HF_ENDPOINT", "http://[::1"), ("HF_HUB_DOWNLOAD_TIMEOUT", "x"), ("HF_HUB_ETAG_TIMEOUT", "5s")],
)
def test_what_the_hub_s_library_can_not_read_is_told_by_its_name(variable, value):
    """It reads them when it is imported, and what it raises then names none of them."""
    process = subprocess.run(
        [sys.executable, "-m", "services.encoder"],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith(f"heroserve: {variable}={value!r}: ")
