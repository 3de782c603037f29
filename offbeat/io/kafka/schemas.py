"""Avro schemas by the ids that stand in records: from files, and from a registry that need not be up all the time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from fastavro import parse_schema
from fastavro.schema import SchemaParseException

from offbeat.errors import UserError
from offbeat.io.kafka.references import spelled_out
from offbeat.io.write.atomic_file import cannot_write

USER, PASSWORD = "OFFBEAT_REGISTRY_USERNAME", "OFFBEAT_REGISTRY_PASSWORD"
"""Variables of the environment."""
_NOT_FOUND = 404
_PATIENCE_SECONDS = 8.0
"""How long a registry is asked for a schema that nobody here knows."""

AvroSchema = dict[str, Any]
"""As JSON has it: a record at the top."""


class Schemas:
    """Schemas, each asked for once: what a registry said, also that it does not know an id, is kept in `folder`, so that rows read again
    after a restart are read as they were, be the registry up or not.

    files: FILE, or ID=FILE for the schema of an id. Raises UserError for one that cannot be used.
    """

    def __init__(self, files: Sequence[str], registry: str | None, folder: Path | None) -> None:
        self._registry, self._folder = registry, folder
        self._client = None if registry is None else registry_client(registry)
        self._known: dict[int | None, AvroSchema | str] = {}
        for text in files:
            number, equals, path = text.partition("=")
            if not (equals and number.isdigit()):
                number, path = "", text
            self._known[int(number) if number else None] = schema_of_file(Path(path))
        if not self._known and registry is None:
            raise UserError("Avro needs a schema: name its file with --schema FILE, or a registry with --registry URL")

    @property
    def framed(self) -> bool:
        """Whether records begin with the id of their schema, in Confluent's wire format."""
        return None not in self._known

    def of(self, number: int | None) -> AvroSchema | str:
        """The schema of an id, or of all records (None); or why there is none, in words. Raises UserError where nobody answers."""
        if number not in self._known and number is not None:
            self._known[number] = self._kept(number) or self._asked(number)
        return self._known[number]

    def _kept(self, number: int) -> AvroSchema | str | None:
        if self._folder is None:
            return None
        try:
            kept: AvroSchema | str = json.loads((self._folder / f"schema-{number}.json").read_text())
        except FileNotFoundError:
            return None
        return kept

    def _asked(self, number: int) -> AvroSchema | str:
        if self._client is None:
            return f"unknown schema id {number}"
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                found = self._usable(self._client.get_schema(number), number)
                break
            except SchemaRegistryError as error:
                if error.http_status_code == _NOT_FOUND:
                    found = f"unknown schema id {number}"
                    break
                why = error.error_message
            except Exception as error:  # the client lets those of its HTTP library through
                why = str(error) or type(error).__name__
            if time.monotonic() > until:
                raise UserError(
                    f"the registry {self._registry} does not say what schema {number} is ({why}); the same command goes on once it does"
                )
            time.sleep(0.2)
        if self._folder is not None:
            path = self._folder / f"schema-{number}.json"
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                partial.write_text(json.dumps(found))
                partial.rename(path)
            except OSError as error:
                raise cannot_write(path, error) from error
        return found


    def _usable(self, schema: Schema, number: int) -> AvroSchema | str:
        if schema.schema_type not in {None, "AVRO"}:
            return f"schema {number} is not Avro but {schema.schema_type}"
        own, known = json.loads(schema.schema_str or "null"), dict[str, Any]()
        self._learn(schema, known)
        checked = _checked(spelled_out(own, known) if known else own)
        return f"schema {number}: {checked}" if isinstance(checked, str) else checked

    def _learn(self, schema: Schema, known: dict[str, Any]) -> None:
        """Ask for the schemas that one refers to, and for those that these refer to, by the full names of their types."""
        for reference in schema.references or ():
            if self._client is None or reference.name is None or reference.name in known:
                continue
            found = self._client.get_version(reference.subject or "", reference.version or -1).schema
            known[reference.name] = json.loads(found.schema_str or "null")
            self._learn(found, known)


def registry_client(url: str) -> SchemaRegistryClient:
    """Confluent's client. Raises UserError for an address that cannot be used."""
    settings: dict[str, Any] = {"url": url, "timeout": 3, "max.retries": 0}
    if "@" in url:
        raise UserError(f"--registry: user and password do not belong into an address; set {USER} and {PASSWORD} in the environment")
    if USER in os.environ:
        settings["basic.auth.user.info"] = f"{os.environ[USER]}:{os.environ.get(PASSWORD, '')}"
    try:
        return SchemaRegistryClient(settings)
    except ValueError as error:
        raise UserError(f"--registry {url}: {error}") from error


def schema_of_file(path: Path) -> AvroSchema:
    """The schema in a file. Raises UserError."""
    try:
        schema = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"--schema {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"--schema {path}: this is no JSON ({error})") from error
    checked = _checked(schema)
    if isinstance(checked, str):
        raise UserError(f"--schema {path}: {checked}")
    return checked


def _checked(schema: Any) -> AvroSchema | str:
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return "a row is an Avro record, and this is the schema of something else"
    try:
        parse_schema(schema)
    except (SchemaParseException, ValueError, KeyError, TypeError) as error:
        return f"this is no Avro schema ({error})"
    return schema
