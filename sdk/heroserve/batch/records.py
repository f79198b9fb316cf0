"""Records of what became of questions: ours, and OpenAI's of a batch's output, each an object of JSON a line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from heroserve.batch.question import BadLine, Question
from heroserve.errors import HeroserveError
from heroserve.results import Answer

Record = dict[str, Any]

# What every record begins with, by which one that is cut off is known.
BEGINNINGS = ('{"line": ', '{"id": "batch_req_')


def answered(question: Question, options: Mapping[str, Any], answer: Answer, model: str = "") -> Record:
    """`options` are those of the batch, which the question's own go before."""
    if question.format == "openai":
        body = _completion(answer, question.told.get("model") or model.rpartition("/")[2])
        response = {"status_code": 200, "request_id": answer.request_id, "body": body}
        return _openai(question, options, response, None)
    record = _head(question, options) | dict(question.told)
    if question.expected:
        record["expected"] = list(question.expected)
    record |= {
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "savings": asdict(answer.savings),
        "usage": asdict(answer.usage),
        "timings": asdict(answer.timings),
        "request_id": answer.request_id,
    }
    if answer.explanations:
        record["explanations"] = [explanation.to_dict() for explanation in answer.explanations]
    return record


def failed(question: Question | BadLine, options: Mapping[str, Any], error: HeroserveError) -> Record:
    """An error's record: its line, the field where it is about one, and the reason."""
    field, _ = question.fault(error)
    told: Record = {"code": error.code.name, "message": reason(question, error), "line": question.line}
    if field:
        told["field"] = field
    if error.request_id:
        told["request_id"] = error.request_id
    if question.format == "openai":
        return _openai(question, options, None, told | ({"param": field} if field else {}))
    record = _head(question, options)
    if isinstance(question, Question):
        record |= dict(question.told)
    return record | {"error": told}


def reason(question: Question | BadLine, error: HeroserveError) -> str:
    """For people: line number, field and reason, in one line."""
    field, problem = question.fault(error)
    text = " ".join(problem.split())
    text = text if len(text) <= 500 else f"{text[:250]} ... {text[-250:]}"
    return f"line {question.line}: {field + ': ' if field else ''}{text}"


def encoded(record: Record) -> bytes:
    """A line. Names of files that are not UTF-8 are escaped, as JSON has it."""
    try:
        return (json.dumps(record, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(record) + "\n").encode()


def _head(question: Question | BadLine, options: Mapping[str, Any]) -> Record:
    record: Record = {"line": question.line, "key": question.key, "options": dict(options)}
    return record if question.id is None else record | {"id": question.id}


def _openai(question: Question | BadLine, options: Mapping[str, Any], response: Any, error: Any) -> Record:
    return {
        "id": f"batch_req_{question.key}",
        "custom_id": question.id,
        "response": response,
        "error": error,
        "heroserve": {"line": question.line, "key": question.key, "options": dict(options)},
    }


def _completion(answer: Answer, model: str) -> Record:
    """As the service's door for OpenAI's clients tells it."""
    usage, savings = answer.usage, answer.savings
    images = usage.prompt_visual_tokens + usage.prompt_newline_tokens
    body: Record = {
        "id": f"chatcmpl-{answer.request_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "finish_reason": answer.finish_reason,
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {
                "image_tokens": images,
                "text_tokens": usage.prompt_text_tokens,
                "cached_tokens": usage.prompt_cached_tokens,
            },
            "heroserve": {
                "visual_tokens": {"total": savings.total, "kept": savings.kept, "dropped": savings.dropped},
                "saved": {"prefill_flops": savings.prefill_flops, "kv_cache_bytes": savings.kv_cache_bytes},
                "newline_tokens": usage.prompt_newline_tokens,
                "timings": asdict(answer.timings),
            },
        },
    }
    if answer.explanations:
        body["heroserve"] = {"explanations": [explanation.to_dict() for explanation in answer.explanations]}
    return body
