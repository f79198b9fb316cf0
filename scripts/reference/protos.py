"""The wire contract, as protoc reads protos/ with its comments."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

from scripts.protos import descriptors
from scripts.reference.markdown import head, plain, table

_WORDS = """\
`protos/heroserve/v1`, package `heroserve.v1`. Numbers and names stay for ever; what is unset means what it
meant before the field was there. Of fields with the same word in italics before them at most one is set.
Statuses: [errors](errors.md)."""
# Numbers of fields in descriptor.proto, by which comments find what they are about.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _METHODS, _VALUES = 2, 3, 4, 2, 2

Path_ = tuple[int, ...]


class _Source:
    """A file, and what its comments say of each place."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self._comments = {tuple(each.path): each for each in file.source_code_info.location}

    def words(self, *path: int) -> str:
        """The comment before a place, else the one behind it, in Markdown; paragraphs stay."""
        place = self._comments.get(path)
        return _flush((place.leading_comments or place.trailing_comments) if place is not None else "")

    def detached(self) -> str:
        """What stands by itself at the head of the file: before its syntax, its package or its first import."""
        found = [
            text
            for path, place in self._comments.items()
            if path and path[0] in (2, 3, 12)
            for text in (*place.leading_detached_comments, place.leading_comments)
        ]
        return "\n\n".join(_flush(text) for text in found if text.strip())


def _flush(text: str) -> str:
    """A comment in Markdown, without the blank that each of its lines begins with."""
    return "\n".join(line.removeprefix(" ") for line in plain(text).splitlines()).strip()


def page() -> str:
    text = head("Protos", "protos/", _WORDS)
    for file in descriptors():
        source = _Source(file)
        text += f"\n## {file.name.rpartition('/')[2]}\n\n{source.detached()}\n"
        for at, service in enumerate(file.service):
            text += _service(source, service, _SERVICES, at)
        for at, message in enumerate(file.message_type):
            text += "".join(_message(source, message, "", _MESSAGES, at))
        for at, enum in enumerate(file.enum_type):
            text += _enum(source, enum, "", _ENUMS, at)
    return text


def _service(source: _Source, service: ServiceDescriptorProto, *path: int) -> str:
    rows = []
    for at, method in enumerate(service.method):
        reply = f"{'stream of ' if method.server_streaming else ''}{_link(method.output_type)}"
        asked = f"{'stream of ' if method.client_streaming else ''}{_link(method.input_type)}"
        rows.append((f"`{method.name}`", asked, reply, source.words(*path, _METHODS, at)))
    return _headed(service.name, "service", source.words(*path)) + table(("RPC", "takes", "returns", ""), rows)


def _message(source: _Source, message: DescriptorProto, within: str, *path: int) -> Iterator[str]:
    """It, and what is declared in it."""
    if message.options.map_entry:
        return
    name = f"{within}{message.name}"
    yield _headed(name, "message", source.words(*path))
    rows = [
        (str(field.number), _named(message, field), _type(message, field), source.words(*path, _FIELDS, at))
        for at, field in enumerate(message.field)
    ]
    yield table(("", "field", "type", ""), rows) if rows else "\nNo fields.\n"
    for at, inner in enumerate(message.nested_type):
        yield from _message(source, inner, f"{name}.", *path, _NESTED, at)
    for at, enum in enumerate(message.enum_type):
        yield _enum(source, enum, f"{name}.", *path, _NESTED_ENUMS, at)


def _enum(source: _Source, enum: EnumDescriptorProto, within: str, *path: int) -> str:
    rows = [
        (str(value.number), f"`{value.name}`", source.words(*path, _VALUES, at)) for at, value in enumerate(enum.value)
    ]
    return _headed(f"{within}{enum.name}", "enum", source.words(*path)) + table(("", "value", ""), rows)


def _headed(name: str, kind: str, words: str) -> str:
    return f"\n### {name}\n\n*{kind}*\n\n{words}\n"


def _named(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"*{message.oneof_decl[field.oneof_index].name}:* `{field.name}`"
    return f"`{field.name}`"


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    for entry in message.nested_type:
        if entry.options.map_entry and field.type_name.endswith(f".{message.name}.{entry.name}"):
            key, value = (_type(entry, each) for each in entry.field)
            return f"map of {key} to {value}"
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    kind = _link(field.type_name) if field.type_name else f"`{scalar}`"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {kind}"
    return f"optional {kind}" if field.proto3_optional else kind


def _link(type_name: str) -> str:
    """To where it stands on this page."""
    name = type_name.removeprefix(".heroserve.v1.")
    return f"`{name.lstrip('.')}`" if name == type_name else f"[`{name}`](#{name.lower().replace('.', '')})"
