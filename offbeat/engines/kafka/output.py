"""What leaves a worker: alerts and rows set aside, as records of topics."""

from __future__ import annotations

import pyarrow as pa

from offbeat.core.plan import Plan
from offbeat.decide.block import AlertBlock, Quarantined
from offbeat.engines.delivery import table_of
from offbeat.io.kafka.outbox import Outbox
from offbeat.io.kafka.payloads import Records
from offbeat.io.write.jsonl_sink import json_lines

ORIGIN = "offbeat-origin"
"""Header of an alert or a row set aside: TOPIC/PARTITION/OFFSET of the record it came from."""
REASON = "offbeat-reason"
DETAIL = "offbeat-detail"
"""Header of a row set aside: what is wrong with it, in words."""
SIZE = "offbeat-size"
"""Header of a row set aside that was cut, as it is larger than many topics take: its bytes in the topic it came from."""
_LARGEST = 512 << 10


class KafkaOutput:
    """Sends through one outbox. topic: where alerts go, None where nowhere; dead_letters likewise, for rows set aside."""

    def __init__(self, plan: Plan, outbox: Outbox, alerts: str | None, dead_letters: str | None, source: str) -> None:
        self._plan, self._outbox = plan, outbox
        self._alerts, self._dead_letters, self._source = alerts, dead_letters, source

    def send(self, block: AlertBlock) -> pa.Table:
        """Send alerts, each under its key; they are given back as a table."""
        table = table_of(self._plan, block)
        if self._alerts is not None:
            keys = [key.encode("utf-8", "surrogatepass") for key in block.keys.to_list()]
            lines = json_lines(table).split(b"\n")
            origins = zip(block.files.tolist(), block.rows.tolist(), strict=True)
            for slot, line, (partition, offset) in zip(block.key.tolist(), lines, origins, strict=False):
                headers = [(ORIGIN, self._origin(partition, offset))] if partition >= 0 else None
                self._outbox.send(self._alerts, keys[slot], line, headers)
        return table

    def put_aside(self, rows: Quarantined, records: Records | None) -> None:
        """Send rows as they came, with the reason; the bytes themselves where they are at hand."""
        if self._dead_letters is None:
            return
        details = rows.details or [""] * len(rows.reasons)
        for reason, words, partition, offset, key, text in zip(
            rows.reasons, details, rows.files.tolist(), rows.rows.tolist(), rows.keys, rows.raw, strict=True
        ):
            message = records.message(offset) if records is not None else None
            value = message.value() if message is not None else text.encode("utf-8", "surrogatepass")
            own = message.key() if message is not None else key.encode("utf-8", "surrogatepass") if key is not None else None
            given = (message.headers() or []) if message is not None else []
            added = [(REASON, reason.encode()), (ORIGIN, self._origin(partition, offset))]
            if words:
                added.append((DETAIL, words.encode("utf-8", "surrogatepass")))
            if value is not None and len(value) > _LARGEST:
                added.append((SIZE, str(len(value)).encode()))
                value = value[:_LARGEST]
            self._outbox.send(self._dead_letters, own, value, [*given, *added])

    def _origin(self, partition: int, offset: int) -> bytes:
        return f"{self._source}/{partition}/{offset}".encode()
