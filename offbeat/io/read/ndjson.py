"""NDJSON: one object a line, from files and, as it arrives, from standard input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.csv import BLOCK
from offbeat.io.read.decoder import Decoder
from offbeat.io.read.files import ByteStream, InputFile, check_text
from offbeat.io.read.lines import blocks_of_lines, find_lines
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.unpack import PACKINGS

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_HEAD = 1 << 16


class NdjsonReader:
    """Reads one NDJSON file, or standard input (`live`: then rows are handed over as they arrive)."""

    layout = None
    header = None

    def __init__(self, file: InputFile, plan: SourcePlan, block: int = BLOCK) -> None:
        self._file = file
        self._plan = plan
        self._block = block
        self.live = file.path == "-"
        # Standard input has no name to draw the key from: then every object carries it.
        self._decoder = Decoder(plan, keyed=bool(plan.key_column) or file.key is None)

    def statistics(self) -> None:
        """Lines have none."""

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each block after byte `mark`."""
        stream = ByteStream(self._file)
        try:
            if mark:
                stream.skip(mark)
            first = mark == 0
            for body, at in blocks_of_lines(stream.read, self._block, mark):
                if first:
                    self._check(body[:_HEAD].removeprefix(_BOM))
                yield partial(self._parse, body.removeprefix(_BOM) if first else body, at, stream.packed_at())
                first = False
        finally:
            stream.close()

    def _check(self, head: bytes) -> None:
        """Raise UserError if these are the first bytes of another kind of file; a line that is merely no JSON object goes to quarantine."""
        if self.live and (packing := next((p for magic, p in PACKINGS.items() if head.startswith(magic)), "")):
            raise UserError(f"standard input is packed with {packing}; unpack it first")
        lines = head.split(b"\n")
        if (head.startswith(_UTF16) or (b"\0" in head and not self.live)) and not any(map(_is_object, lines)):
            check_text(self._file, head)
        first = lines[0].decode("utf-8", "replace")
        fields = first.split(self._plan.separator)
        name = "standard input" if self.live else self._file.path
        if self._plan.format == "databento" and '"hd":{' in first.replace(" ", ""):
            raise UserError(f"{name}: Databento's JSON (with fields nested under `hd`) cannot be read; fetch DBN or CSV")
        if first[:1] not in "{[" and len(fields) > 1 and {field.strip(' "\r') for field in fields} & set(self._plan.time.headers):
            raise UserError(f"{name}: expected JSON lines, but this begins with a CSV header; name a .csv file, or send JSON lines")

    def _parse(self, body: bytes, mark: int, done: int) -> Parsed:
        parsed = self._decoder.decode(body, *find_lines(body))
        parsed.mark, parsed.done = mark, done
        return parsed


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode("utf-8", "replace")), dict)
    except (ValueError, RecursionError):
        return False
