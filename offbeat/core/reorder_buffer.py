"""The reorder buffer: rows that wait from one batch to the next, candidates [S4] and rows waiting for their order [S2]."""

from __future__ import annotations

import numpy as np
import polars as pl

from offbeat.core.batch import EVER, I64, Batch
from offbeat.core.rings import grown_rows

_NUMERIC = ("slots", "time_ns", "files", "rows")


class ReorderBuffer:
    """A store whose places are reused. `texts` text columns, `numbers` and `integers` rows as in the batches."""

    def __init__(self, numbers: int, integers: int, texts: int) -> None:
        self.slots = np.zeros(0, np.int32)
        self.time_ns = np.zeros(0, np.int64)
        self.files = np.zeros(0, np.int32)
        self.rows = np.zeros(0, np.int64)
        self.numbers = np.zeros((0, numbers))
        self.integers = np.zeros((0, integers), np.int64)
        self.texts = np.zeros((0, texts), np.object_)
        self.raw: dict[int, str] = {}
        self._free: list[int] = []
        self._end = 0

    def __len__(self) -> int:
        return self._end - len(self._free)

    def earliest_ns(self) -> int:
        """Least time of the waiting rows; the end of all time if there are none."""
        return int(self.time_ns[list(self.raw)].min(initial=EVER))

    def keep(self, batch: Batch, index: I64, raw: list[str]) -> I64:
        """Keep rows `index` of the batch with their original text; returns their places."""
        n = len(index)
        again = [self._free.pop() for _ in range(min(n, len(self._free)))]
        fresh = range(self._end, self._end + n - len(again))
        self._end += n - len(again)
        places: I64 = np.array([*again, *fresh], np.int64)
        for name in _NUMERIC:
            setattr(self, name, grown_rows(getattr(self, name), self._end))
            getattr(self, name)[places] = getattr(batch, name)[index]
        self.numbers = grown_rows(self.numbers, self._end)
        self.integers = grown_rows(self.integers, self._end)
        self.texts = grown_rows(self.texts, self._end)
        self.numbers[places] = batch.numbers[:, index].T
        self.integers[places] = batch.integers[:, index].T
        for t, column in enumerate(batch.texts):
            self.texts[places, t] = column.gather(index).to_list()
        self.raw.update(zip(places.tolist(), raw, strict=True))
        return places

    def drop(self, places: I64) -> None:
        """Free places; their content stays readable until the next `keep`."""
        for place in places.tolist():
            self._free.append(place)
            del self.raw[place]

    def text(self, column: int, places: I64) -> pl.Series:
        """Texts of one column at these places."""
        return pl.Series(self.texts[places, column].tolist(), dtype=pl.String)

    def arrays(self) -> dict[str, np.ndarray]:
        """State: everything up to the last place in use, with the free ones."""
        return {
            **{name: getattr(self, name)[: self._end].copy() for name in _NUMERIC},
            "numbers": self.numbers[: self._end].copy(),
            "integers": self.integers[: self._end].copy(),
            "free": np.array(self._free, np.int64),
        }

    def words(self) -> dict[str, list[list[str | None]]]:
        """State that is text: the text columns row by row, and the original text of each place."""
        return {
            "texts": self.texts[: self._end].tolist(),
            "raw": [[self.raw.get(place)] for place in range(self._end)],
        }

    def restore(self, arrays: dict[str, np.ndarray], words: dict[str, list[list[str | None]]]) -> None:
        """Take over a snapshot."""
        for name in _NUMERIC:
            setattr(self, name, arrays[name].copy())
        self.numbers, self.integers = arrays["numbers"].copy(), arrays["integers"].copy()
        self._end = len(self.time_ns)
        self._free = arrays["free"].tolist()
        self.texts = np.empty((self._end, self.texts.shape[1]), np.object_)
        for place, row in enumerate(words["texts"]):
            self.texts[place] = row
        self.raw = {place: raw[0] for place, raw in enumerate(words["raw"]) if raw[0] is not None}
