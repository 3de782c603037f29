"""Rows as Avro records, or as Arrow streams, for topics that a replay fills."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.error import SchemaRegistryError
from fastavro import parse_schema, schemaless_writer

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.kafka.arrow_rows import arrow_record
from offbeat.io.kafka.schemas import AvroSchema, registry_client, schema_of_file
from offbeat.io.write.atomic_file import cannot_write
from offbeat.io.write.row_json import KEY_FIELD

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KINDS = {"float": "double", "text": "string", "bool": "boolean"}
_READ: dict[str, Any] = {"long": int, "int": int, "double": float, "float": float, "string": str, "boolean": bool}


class AvroRows:
    """Spells rows as records of one schema: that of a file, or the pipeline's own, which is then written to the file.

    registry: where the schema is registered for the topic; records begin with its id then. Raises UserError where one cannot be used.
    """

    def __init__(self, plan: SourcePlan, name: str, topic: str, file: str | None, registry: str | None) -> None:
        if file is None and registry is None:
            raise UserError("Avro needs a place for its schema: name a file with --schema FILE, or a registry with --registry URL")
        path = Path(file) if file is not None else None
        if path is not None and path.exists():
            schema = schema_of_file(path)
        else:
            schema = _schema(plan, name)
            if path is not None:
                try:
                    path.write_text(json.dumps(schema, indent=2) + "\n")
                except OSError as error:
                    raise cannot_write(path, error) from error
        self._parsed = parse_schema(schema)
        self._read = {field["name"]: _reader(field["type"]) for field in schema["fields"]}
        self._head = b"" if registry is None else b"\x00" + _registered(schema, topic, registry).to_bytes(4, "big")

    def record(self, line: bytes) -> bytes:
        """The record of a row that stands as a JSON object. Raises UserError where its schema does not take a value."""
        out = io.BytesIO()
        out.write(self._head)
        try:
            schemaless_writer(out, self._parsed, _values(line, self._read))
        except (ValueError, TypeError) as error:
            raise UserError(f"a row does not fit the Avro schema: {error}; {line[:200].decode('utf-8', 'replace')}") from error
        return out.getvalue()


def arrow_rows(plan: SourcePlan) -> Callable[[bytes], bytes]:
    """What spells rows that stand as JSON objects as Arrow streams of one row each."""
    kinds = kinds_of(plan)
    record, read = arrow_record(kinds), {name: _READ[kind] for name, kind in kinds.items()}
    return lambda line: record(_values(line, read))


def _values(line: bytes, read: Mapping[str, Any]) -> dict[str, Any]:
    # Numbers as they are spelled: a decimal would not survive a double.
    row = json.loads(line, parse_float=str, parse_int=str)
    return {name: None if row.get(name) is None else of(row[name]) for name, of in read.items()}


def _schema(plan: SourcePlan, name: str) -> AvroSchema:
    """A schema from whose records `plan` reads the very same values."""
    kinds = kinds_of(plan)
    for field in kinds:
        if not _NAME.fullmatch(field):
            raise UserError(f"the field {field!r} cannot be named in Avro, which has letters, digits and '_' only; replay as JSON")
    fields = [{"name": field, "type": ["null", kind], "default": None} for field, kind in kinds.items()]
    return {"type": "record", "name": re.sub(r"\W|^(?=\d)", "_", name), "namespace": "offbeat", "fields": fields}


def kinds_of(plan: SourcePlan) -> dict[str, str]:
    """By field of the JSON lines of `plan`, its Avro type: decimals are texts, as no double holds them all."""
    kinds = {plan.key_column[0] if plan.key_column else KEY_FIELD: "string"}
    kinds |= dict.fromkeys((plan.time.headers[0], *plan.time.rest), "string")
    for column in plan.columns:
        kind = _KINDS.get(column.kind) or ("long" if column.scale == 0 else "string")
        kinds.setdefault(column.name, kind)
    return kinds


def _reader(kind: Any) -> Any:
    """Turns a value as JSON spells it into one of an Avro type."""
    kinds = [each for each in kind if each != "null"] if isinstance(kind, list) else [kind]
    named = kinds[0].get("type") if len(kinds) == 1 and isinstance(kinds[0], dict) else kinds[0] if kinds else None
    return _READ.get(str(named), lambda value: value)


def _registered(schema: AvroSchema, topic: str, registry: str) -> int:
    try:
        return registry_client(registry).register_schema(f"{topic}-value", Schema(json.dumps(schema), "AVRO"))
    except SchemaRegistryError as error:
        raise UserError(f"the registry {registry} does not take the schema of {topic}-value: {error.error_message}") from error
    except Exception as error:  # the client lets those of its HTTP library through
        raise UserError(f"the registry {registry} does not answer: {error}") from error
