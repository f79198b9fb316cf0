"""From a conversation to token ids, with one placeholder an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.common.checkpoint import Checkpoint
from services.llm.job import ChatJob, Turn, TurnRole
from services.llm.probe import Fit, fit, line
from services.llm.refusal import Refusal, Role
from services.llm.render import FAILURES, Renderer
from services.llm.spelt import refuse_spelt, without_words
from services.llm.template import chat_template


class PromptBuilder:
    """A checkpoint's tokenizer and chat template.

    Args:
        source: the checkpoint.
        image_token_id: what its family puts in an image's place. It needs no embedding.
        embeddings: how many tokens have one.
        template: in place of the checkpoint's, see ``chat_template``.
        bounds: tokens that go before and behind an image's place, see ``LanguageHalf.image_bounds``.
        read_elsewhere: texts are made into tokens a second time, elsewhere: what spells a control token is one there,
            and so are these words. None where they are not.

    Raises:
        SettingError: they do not fit each other, or the template can't ask about an image.
    """

    def __init__(
        self,
        source: Checkpoint,
        image_token_id: int,
        embeddings: int,
        template: str = "",
        *,
        bounds: tuple[str, str] = ("", ""),
        read_elsewhere: Sequence[str] | None = None,
    ) -> None:
        self.tokenizer: Any = source.tokenizer()
        self.image_token_id = image_token_id
        _check_vocabulary(source, self.tokenizer, image_token_id, embeddings)
        self.template = chat_template(source, self.tokenizer, template)
        self._fit: Fit = fit(
            source, self.tokenizer, self.template, image_token_id, embeddings, bounds=bounds, chosen=template
        )
        self.renderer: Renderer = self._fit.renderer
        self._read_elsewhere = read_elsewhere
        self._added = self.tokenizer.added_tokens_decoder

    @property
    def places_images(self) -> bool:
        """Whether the template can place more than one."""
        return self._fit.places_images

    @property
    def image_token(self) -> str:
        """What the template writes in an image's place."""
        return str(self.tokenizer.convert_ids_to_tokens(self.image_token_id))

    def takes(self, role: TurnRole) -> bool:
        """Whether the template takes anything of who speaks."""
        return role not in self._fit.refused

    def build(self, job: ChatJob) -> list[int]:
        """Token ids of the whole prompt; each image is one ``image_token_id``.

        Texts are data: what spells a control token in them is read as the text it is.

        Raises:
            Refusal: the template refuses the conversation, or has no place for all of it.
        """
        for index, turn in enumerate(job.turns):
            if turn.role in self._fit.refused:
                raise Refusal(
                    Role("message_role", turn=index),
                    f"is {turn.role}; the model's chat template takes none ({self._fit.refused[turn.role]})",
                )
        try:
            ids = self.renderer.ids(job.turns)
            self._refuse_control_tokens(job.turns, ids)
            if self._read_elsewhere is not None:
                refuse_spelt(self.renderer, self.tokenizer, job.turns, ids, self._read_elsewhere)
        except FAILURES as error:
            # Templates refuse what their model was not trained on, such as two turns of one role.
            raise Refusal(Role("messages"), f"do not fit the model's chat template: {line(error)}") from error
        places = ids.count(self.image_token_id)
        if places != len(job.images):
            raise Refusal(
                Role("messages"), f"have {len(job.images)} images; the model's chat template has places for {places}"
            )
        return ids

    def _refuse_control_tokens(self, turns: tuple[Turn, ...], ids: list[int]) -> None:
        """What spells one is harmless by now; a tokenizer that normalises texts, or a template that joins them, may
        still make one of what does not."""
        bare = tuple(without_words(turn) for turn in turns)
        harmless = Counter(self.renderer.ids(bare))
        if not self._made(ids, harmless):
            return
        for index, turn in enumerate(turns):
            # Whose: with the words of this turn alone.
            if made := self._made(self.renderer.ids((*bare[:index], turn, *bare[index + 1 :])), harmless):
                raise Refusal(
                    Role("parts", turn=index), f"make the model's tokenizer read {made!r}, which is reserved, in a text"
                )
        raise Refusal(Role("messages"), "make the model's tokenizer read what is reserved in a text")

    def _made(self, ids: list[int], harmless: Counter[int]) -> str | None:
        """A control token that comes oftener than in the same conversation without words."""
        for token, count in Counter(ids).items():
            added = self._added.get(token)
            # An unknown character is nobody's attempt.
            if added is None or count <= harmless[token] or token == self.tokenizer.unk_token_id:
                continue
            if added.special or token == self.image_token_id or (token in harmless and not added.content.isspace()):
                return str(added.content)
        return None


def _check_vocabulary(source: Checkpoint, tokenizer: Any, image_token_id: int, embeddings: int) -> None:
    """A token without an embedding ends the process on an accelerator, for everybody.

    Special tokens are not in a caller's reach; those that the template writes are found by rendering it.
    """
    # Tokenizers count in 32 bits, and some from the end.
    if not 0 <= image_token_id < 2**31 or tokenizer.convert_ids_to_tokens(image_token_id) is None:
        raise source.unusable(
            f"its tokenizer has no token {image_token_id}, which its config names as an image's placeholder"
        )
    added = tokenizer.added_tokens_decoder
    beyond = {
        token: content
        for content, token in tokenizer.get_vocab().items()
        if token >= embeddings and token != image_token_id and not (token in added and added[token].special)
    }
    if beyond:
        first = min(beyond)
        raise source.unusable(
            f"its tokenizer has {len(beyond)} tokens that the model has no embedding for, such as {beyond[first]!r} "
            f"({first}); embeddings end at {embeddings - 1}"
        )
