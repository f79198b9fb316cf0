"""A chat template for servers that know nothing of ours: by itself it writes all of the prompt."""

from __future__ import annotations

import json
from typing import Any

from services.llm.conversations import FIRST, QUESTION
from services.llm.job import Turn
from services.llm.render import Renderer

# A variable of templates, by which a server is asked for its checkpoint: any value will do.
ASKED = "heroserve_checkpoint"
# Before a template that does not take texts in parts of all who speak. It ends in no block: one would swallow a line
# break.
_JOINED = """\
{%- set turns = namespace(all=[]) -%}
{%- for message in messages -%}
{%- if message.content is string or message.role not in FORMS -%}
{%- set turns.all = turns.all + [message] -%}
{%- else -%}
{%- set turn = namespace(text='') -%}
{%- for part in message.content if part.type == 'text' -%}
{%- set turn.text = turn.text + part.text -%}
{%- endfor -%}
{%- if FORMS[message.role] == 'string' -%}
{%- set turns.all = turns.all + [dict(role=message.role, content=turn.text)] -%}
{%- else -%}
{%- set turns.all = turns.all + [dict(role=message.role, content=[dict(type='text', text=turn.text)])] -%}
{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- set messages = turns.all -%}
{{ '' }}"""


def served_template(template: str, renderer: Renderer, tokenizer: Any, checkpoint: str = "") -> str:
    """The same prompts, from texts alone.

    Servers add no special tokens to what a template writes, hand it messages in one form, whoever speaks, and an image
    as a text of its own. So what a tokenizer would add is written by the template, and it takes texts in parts that
    are one text.

    Args:
        template: in Jinja.
        renderer: of it.
        tokenizer: the checkpoint's.
        checkpoint: which it is; written in place of a prompt where ``ASKED`` is given, for tokens don't tell weights
            apart. "" for none.
    """
    forms = {role: form for role, form in renderer.forms.items() if form != "parts"}
    one, two = (renderer.text([Turn("user", said)]) for said in ((QUESTION,), (QUESTION, FIRST)))
    if "user" not in forms and two != one.replace(QUESTION, QUESTION + FIRST):
        # It writes something behind each text.
        forms["user"] = "one part"
    whole = _JOINED.replace("FORMS", json.dumps(forms)) + template if forms else template
    before, after = (
        "".join(tokenizer.convert_ids_to_tokens(token) for token in tokens)
        for tokens in renderer.added(tokenizer.encode(one, add_special_tokens=False))
    )
    # Jinja leaves out a line break at a template's end, where it is the end.
    whole = _written(before) + whole.removesuffix("\n") + _written(after)
    if checkpoint:
        # Blocks swallow blanks and line breaks beside them.
        asked = f"{{% if {ASKED} is defined %}}{_written(checkpoint)}{{% else %}}"
        whole = asked + "{{ '' }}" + whole + "{{ '' }}{% endif %}"
    return whole


def _written(text: str) -> str:
    return f"{{{{ {json.dumps(text)} }}}}" if text else ""
