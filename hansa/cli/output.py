"""What programs read: messages as JSON or YAML.

Field names are those of the protos, 64-bit integers are numbers, enum values go without their prefix ("RUNNING"),
certificates are PEM text, and fields that are not set show their default, unless they can be told to be absent.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message import Message

from hansa.cli.options import OutputFormat
from hansa.printable import printable


def message_data(message: Message) -> dict[str, Any]:
    """The message as plain data; what may be absent and is, a sub-message or an unknown number, is left out."""
    return {
        field.name: _field_data(message, field)
        for field in message.DESCRIPTOR.fields
        if field.is_repeated or not field.has_presence or message.HasField(field.name)
    }


def enum_label(message: Message, field: str) -> str:
    """The name of an enum field's value without its prefix, for example "RUNNING"; its number if it is not known."""
    return _enum_name(message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))


def formatted(data: Any, output: OutputFormat, *, one_line: bool = False) -> str:
    """Data as JSON (indented, or one line) or as a YAML document, without the last line end.

    Where a text holds what cannot be printed, all that is not ASCII is written as its escape.
    """
    if output is OutputFormat.JSON:
        text = json.dumps(data, indent=None if one_line else 2, ensure_ascii=False)
        return text if _is_plain(text) else json.dumps(data, indent=None if one_line else 2)
    import yaml

    text = str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True)).rstrip()
    if not _is_plain(text):
        text = str(yaml.safe_dump(data, sort_keys=False)).rstrip()
    return f"---\n{text}" if one_line else text


def _is_plain(text: str) -> bool:
    return printable(text) == text


def _field_data(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_value_data(item, field) for item in value]
    return _value_data(value, field)


def _value_data(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return message_data(value)
    if field.enum_type is not None:
        return _enum_name(field.enum_type, value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _enum_name(enum: Any, number: int) -> str:
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in enum.name).lstrip("_").upper()
    return str(known.name).removeprefix(f"{prefix}_")
