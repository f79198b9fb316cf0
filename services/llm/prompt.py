"""From a conversation to token ids, with one placeholder an image."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from services.common.checkpoint import Checkpoint
from services.llm.job import ChatJob, ImagePart, Turn
from services.llm.refusal import Refusal, Role


class PromptBuilder:
    """A checkpoint's tokenizer and chat template.

    Args:
        source: the checkpoint.
        image_token_id: what its family puts in an image's place.
    """

    def __init__(self, source: Checkpoint, image_token_id: int) -> None:
        self.tokenizer: Any = source.tokenizer()
        self.image_token_id = image_token_id
        image_token: str = self.tokenizer.convert_ids_to_tokens(self.image_token_id)
        # The tokenizer reads these in a text too: a caller could place images, or speak as another role.
        self._reserved = sorted({image_token, *self.tokenizer.all_special_tokens})
        self._template = _chat_template(source) or self.tokenizer.chat_template
        if not self._template:
            raise source.unusable("it has no chat template")

    def build(self, job: ChatJob) -> list[int]:
        """Token ids of the whole prompt; each image is one ``image_token_id``.

        Raises:
            Refusal: a text holds a token that the tokenizer reserves, or the template refuses the conversation.
        """
        self._refuse_reserved(job)
        try:
            text: str = self.tokenizer.apply_chat_template(
                [_as_template_message(turn) for turn in job.turns],
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=True,
            )
        except TemplateError as error:
            # Templates refuse what their model was not trained on, such as two turns of one role.
            raise Refusal(Role("messages"), f"do not fit the model's chat template: {error}") from error
        # Templates differ in whether they write the beginning-of-sequence token themselves.
        bos = self.tokenizer.bos_token
        ids: list[int] = self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos))).input_ids
        if ids.count(self.image_token_id) != len(job.images):
            raise Refusal(
                Role("messages"),
                f"have {len(job.images)} images, but {ids.count(self.image_token_id)} after the model's chat template; "
                "a text may make the placeholder of an image, or the template has no place for images",
            )
        return ids

    def _refuse_reserved(self, job: ChatJob) -> None:
        """Texts are joined by the template, so what makes a reserved token only together counts too."""
        for i, turn in enumerate(job.turns):
            texts = [(Role("text", i, j), part) for j, part in enumerate(turn.parts) if isinstance(part, str)]
            for role, text in [*texts, (Role("parts", i), "".join(turn.texts))]:
                for token in self._reserved:
                    if token in text:
                        raise Refusal(role, f"holds {token!r}, which is reserved by the model's tokenizer")


def _as_template_message(turn: Turn) -> dict[str, Any]:
    return {
        "role": turn.role,
        "content": [
            {"type": "image"} if isinstance(part, ImagePart) else {"type": "text", "text": part} for part in turn.parts
        ],
    }


def _chat_template(source: Checkpoint) -> str | None:
    """The processor's template, which for a vision model goes before the tokenizer's."""
    path = source.path("chat_template.jinja")
    if path is not None:
        return path.read_text(encoding="utf-8")
    template = source.json("chat_template.json").get("chat_template")
    return template if isinstance(template, str) else None
