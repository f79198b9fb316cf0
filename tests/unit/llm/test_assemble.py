"""An image's sequence is Hugging Face's, less what was dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.families.family import NEWLINE
from services.families.llava_next.splice import splice
from services.llm.assemble import assemble
from tests.support.llm_parts import SIZES, Seen

IMAGE = 3
NEWLINES = ["every_row", "kept_rows"]


def embedded(language, seen: Seen, keep, newlines="every_row", *, original=False):
    return assemble(language.splicer, [IMAGE], IMAGE, [seen.spliced(keep, newlines)], original_positions=original)


@pytest.mark.parametrize("newlines", NEWLINES)
@pytest.mark.parametrize("size", SIZES)
def test_everything_kept_is_hugging_faces_sequence(language, look, size, newlines):
    seen = look(size)
    prompt = embedded(language, seen, seen.keep_all(), newlines)
    assert language.embed(prompt).shape == seen.full.shape
    torch.testing.assert_close(language.embed(prompt), seen.full, atol=1e-4, rtol=0)
    assert prompt.position_ids.tolist() == list(range(len(seen.full)))
    assert prompt.next_position == len(seen.full) == len(prompt)


@pytest.mark.parametrize("newlines", NEWLINES)
@pytest.mark.parametrize("size", SIZES)
def test_dropped_tokens_leave_the_others_where_they_were(language, look, size, newlines):
    seen = look(size)
    for seed, share in enumerate((0.02, 0.3, 0.9)):
        keep = seen.keep_some(seed, share)
        left = seen.survivors(keep, newlines)
        features, splice = seen.spliced(keep, newlines)
        assert splice.position.tolist() == left.tolist()
        assert splice.full_length == len(seen.full)
        assert splice.newlines == (seen.ids[left] == -1).sum()
        prompt = embedded(language, seen, keep, newlines)
        torch.testing.assert_close(language.embed(prompt), seen.full[left], atol=1e-4, rtol=0)
        # Every feature is read once, by the index it came with.
        assert sorted(splice.source[splice.source != NEWLINE]) == list(range(len(features)))


def test_a_row_that_keeps_nothing_keeps_its_newline_only_when_every_row_does(look):
    seen = look((224, 224))
    keep = np.zeros_like(seen.keep_all())
    keep[1, 8 * 2 + 5] = keep[4, 8 * 7] = True
    assert seen.spliced(keep, "every_row")[1].newlines == 16
    _, few = seen.spliced(keep, "kept_rows")
    assert few.source.tolist() == [0, NEWLINE, 1, NEWLINE]
    # 64 of the thumbnail, rows of 16 and a newline.
    assert few.position.tolist() == [64 + 2 * 17 + 5, 64 + 2 * 17 + 16, 64 + 15 * 17 + 8, 64 + 15 * 17 + 16]


@pytest.mark.parametrize("newlines", NEWLINES)
def test_a_row_across_two_tiles_gets_one_newline(look, newlines):
    seen = look((224, 112))
    keep = np.zeros_like(seen.keep_all())
    keep[1, 8:16] = keep[2, 8:16] = True
    _, splice = seen.spliced(keep, newlines)
    assert splice.position.tolist() == seen.survivors(keep, newlines).tolist()
    row = splice.source[splice.position >= 64 + 17]
    assert row[:17].tolist() == [*range(16), NEWLINE]


@pytest.mark.parametrize("newlines", NEWLINES)
@pytest.mark.parametrize("size", [(333, 101), (40, 50)])
def test_only_the_thumbnail_is_kept(language, look, size, newlines):
    seen = look(size)
    keep = seen.keep_all()
    keep[1:] = False
    left = seen.survivors(keep, newlines)
    prompt = embedded(language, seen, keep, newlines, original=True)
    torch.testing.assert_close(language.embed(prompt), seen.full[left], atol=1e-4, rtol=0)
    assert prompt.position_ids.tolist() == left.tolist()
    assert (len(left) == 64) == (newlines == "kept_rows")


@pytest.mark.parametrize("newlines", NEWLINES)
def test_nothing_of_the_thumbnail_is_kept(language, look, newlines):
    seen = look((97, 401))
    keep = seen.keep_all()
    keep[0] = False
    prompt = embedded(language, seen, keep, newlines, original=True)
    torch.testing.assert_close(language.embed(prompt), seen.full[64:], atol=1e-4, rtol=0)
    assert prompt.position_ids.tolist() == list(range(64, len(seen.full)))


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("ids", [[1, 5, 3, 90, 91, 3, 92, 6], [3, 3], [3, 7, 3], [1, 3, 3, 4]])
def test_two_images_stand_where_their_placeholders_do(language, hf, look, ids, original):
    images = [look((333, 101)), look((91, 37))]
    keeps = [seen.keep_some(seed) for seed, seen in enumerate(images)]
    laid = [seen.spliced(keep) for seen, keep in zip(images, keeps, strict=True)]
    prompt = assemble(language.splicer, ids, IMAGE, laid, original_positions=original)

    whole, stays, queue = [], [], list(zip(images, keeps, strict=True))
    for token in ids:
        if token == IMAGE:
            seen, keep = queue.pop(0)
            whole.append(seen.full)
            stays.append(np.isin(np.arange(len(seen.full)), seen.survivors(keep, "every_row")))
        else:
            whole.append(hf.get_input_embeddings()(torch.tensor([token])).detach())
            stays.append(np.array([True]))
    left = np.flatnonzero(np.concatenate(stays))
    full = torch.cat(whole)
    torch.testing.assert_close(language.embed(prompt), full[left], atol=1e-4, rtol=0)
    assert prompt.position_ids.dtype == torch.int64
    if original:
        assert prompt.position_ids.tolist() == left.tolist()
        assert prompt.next_position == len(full)
    else:
        assert prompt.position_ids.tolist() == list(range(len(left)))
        assert prompt.next_position == len(left)


@pytest.mark.parametrize("original", [False, True])
def test_a_prompt_without_images(language, hf, original):
    prompt = assemble(language.splicer, [1, 5, 90, 6], IMAGE, [], original_positions=original)
    assert torch.equal(language.embed(prompt), hf.get_input_embeddings()(torch.tensor([1, 5, 90, 6])))
    assert (prompt.position_ids.tolist(), prompt.next_position) == ([0, 1, 2, 3], 4)


@pytest.mark.parametrize("ids", [[1, 3, 3], [1, 5]])
def test_placeholders_and_images_must_match(language, look, ids):
    seen = look((112, 112))
    with pytest.raises(ValueError, match="argument"):
        assemble(language.splicer, ids, IMAGE, [seen.spliced(seen.keep_all())], original_positions=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_features_come_off_the_wire_in_their_own_dtype(language, look, dtype):
    seen = look((91, 37))
    keep = seen.keep_some(1)
    image = seen.encoded(keep, dtype)
    rows = image.features
    assert rows.dtype == dtype
    assert torch.equal(rows, seen.features[torch.from_numpy(keep)].to(dtype))
    prompt = assemble(
        language.splicer,
        [IMAGE],
        IMAGE,
        [(rows, splice(image.grid, image.kept, "every_row"))],
        original_positions=False,
    )
    assert language.embed(prompt).dtype == torch.float32
    # bfloat16 keeps 8 bits.
    tolerance = {torch.float32: 1e-5, torch.float16: 0.02, torch.bfloat16: 0.15}[dtype]
    torch.testing.assert_close(
        language.embed(prompt), seen.full[seen.survivors(keep, "every_row")], atol=tolerance, rtol=tolerance
    )
