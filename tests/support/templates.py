"""Chat templates as published checkpoints have them, written after what they do."""

from __future__ import annotations

_IMAGES = "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
_TEXTS = "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"

# LLaVA-NeXT on Vicuna: names in capitals, a space behind every text, nothing before a system text.
VICUNA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    + _IMAGES
    + _TEXTS
    + "{% generation %}{{ part['text'] + ' ' }}{% endgeneration %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# On Mistral: every text of a user closes the instruction, and of others only the first text is read.
MISTRAL = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ '<<SYS>>\n' + message['content'][0]['text'] + '\n<</SYS>>\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ '[INST] ' }}"
    + _IMAGES
    + _TEXTS
    + "{{ part['text'] + ' [/INST]' }}{% endfor %}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '</s> ' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
# On Yi and Qwen.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    + _IMAGES
    + _TEXTS
    + "{{ part['text'] }}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    + _IMAGES
    + _TEXTS
    + "{{ part['text'] }}{% endfor %}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Of language models, which want strings. The first writes a list of parts as Python does, the second fails on one.
SHOWS_LISTS = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content | trim }}"
    "{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}<|assistant|>"
)
ADDS_STRINGS = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% endfor %}<|assistant|>"
)
# Parts of a user, strings of others.
MIXED = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'user' %}"
    + _IMAGES
    + _TEXTS
    + "{{ part['text'] }}{% endfor %}{% else %}{{ message.content + '</s>' }}{% endif %}{% endfor %}<|assistant|>"
)
# Parts, but no place for images.
TEXT_ONLY = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.content is string %}{{ message.content }}"
    "{% else %}" + _TEXTS + "{{ part.text }}{% endfor %}{% endif %}{% endfor %}<|assistant|>"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
