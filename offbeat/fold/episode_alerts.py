"""What episodes need of alerts, as columns: taken from the alerts of a run, or from a list of alerts read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import F64, I8, I16, I32, I64, Bools
from offbeat.core.episode_plan import EpisodePlan
from offbeat.core.key_spellings import without_fraction
from offbeat.decide.block import STATUSES, AlertBlock
from offbeat.errors import UserError

_MANY = 8
"""With so many texts for each alert, the alerts are sorted rather than all texts looked through."""
MOST_DETECTORS = 63
"""Detectors of a view of which an episode counts the votes: bits of a mask."""


def plain_spellings(keys: Iterable[str]) -> list[str]:
    """Keys without the `.0` of whole numbers: 12345 and 12345.0 are one key [R20]."""
    return without_fraction(pl.Series(list(keys), dtype=pl.String)).to_list()


class Texts:
    """Texts and their codes, in the order of their first coming."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._codes: dict[str, int] = {}
        for text in texts:
            self.code(text)

    def __len__(self) -> int:
        return len(self._codes)

    def all(self) -> list[str]:
        """The text of each code."""
        return list(self._codes)

    def code(self, text: str) -> int:
        """The code of a text."""
        return self._codes.setdefault(text, len(self._codes))

    def of_distinct(self, texts: list[str]) -> I32:
        """(n,) codes of n texts, none of them null; for few."""
        return np.array([self.code(text) for text in texts], np.int32)

    def of(self, texts: pl.Series) -> I32:
        """(n,) codes of n texts; -1 for null."""
        distinct = texts.cast(pl.String).unique(maintain_order=True)
        codes = [-1 if text is None else self.code(text) for text in distinct.to_list()]
        if not codes:
            return np.zeros(0, np.int32)
        return texts.cast(pl.String).replace_strict(distinct, codes, return_dtype=pl.Int32).to_numpy().astype(np.int32)


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """n alerts, in any order; each as often as it was emitted."""

    ids: npt.NDArray[np.uint8]
    """(n, 16)"""
    revision: I64
    status: I8
    """Indices into `STATUSES`."""
    view: I16
    """Indices into the views of the plan."""
    key: I32
    level: I32
    value: I32
    """Codes of texts: the key, the level, and the value of the column that names the group, -1 where there is none."""
    time_ns: I64
    severity: F64
    voted: I64
    """A bit for each detector of the view that voted."""

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> AlertFacts:
        """The alerts at these places."""
        return AlertFacts(**{field.name: getattr(self, field.name)[places] for field in fields(self)})

    def arrays(self) -> dict[str, np.ndarray]:
        """The columns by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def joined(parts: Iterable[AlertFacts]) -> AlertFacts:
        """The alerts of all parts, one after the other."""
        known = list(parts)
        return AlertFacts(**{f.name: np.concatenate([getattr(part, f.name) for part in known]) for f in fields(AlertFacts)})

    @staticmethod
    def none() -> AlertFacts:
        """No alerts."""
        code, count = np.zeros(0, np.int32), np.zeros(0, np.int64)
        ids, small, view = np.zeros((0, 16), np.uint8), np.zeros(0, np.int8), np.zeros(0, np.int16)
        return AlertFacts(ids, count, small, view, code, code, code, count, np.zeros(0), count)


def id_words(ids: npt.NDArray[np.uint8]) -> tuple[np.ndarray, np.ndarray]:
    """(n, 16) ids as two numbers each, in whose order their texts are."""
    words = np.ascontiguousarray(ids).view(">u8").astype(np.uint64)
    return words[:, 0], words[:, 1]


def any_of(hit: Bools, offsets: I64) -> Bools:
    """(k,) whether any of `hit` (m,) is true in each of the k groups that begin at `offsets` (k + 1,), none of them empty."""
    return np.logical_or.reduceat(hit, offsets[:-1]) if len(offsets) > 1 else np.zeros(0, np.bool_)


class FactReader:
    """Alerts → facts. Texts get their codes here; `restore` them before anything is read."""

    def __init__(self, plan: EpisodePlan) -> None:
        self._plan = plan
        self._views = {view.name: place for place, view in enumerate(plan.views)}
        self.texts = Texts()

    def of_block(self, block: AlertBlock) -> AlertFacts:
        """Alerts of one view, as the fold gives them."""
        n, view = len(block), self._views[block.view]
        voted = np.zeros(n, np.int64)
        for bit, detector in enumerate(block.detectors[:MOST_DETECTORS]):
            voted += detector.voted * np.int64(1 << bit)
        column = self._plan.column
        named = column != "" and column in block.row.columns
        return AlertFacts(
            ids=block.ids,
            revision=block.revision,
            status=block.status,
            view=np.full(n, view, np.int16),
            key=self._picked(block.keys, block.key),
            level=self._picked(pl.Series(block.levels), block.level.astype(np.int32)),
            value=self.texts.of(block.row[column]) if named else np.full(n, -1, np.int32),
            time_ns=block.time_ns,
            severity=np.where(np.isnan(block.severity), 0.0, block.severity),
            voted=voted,
        )

    def of_frame(self, alerts: pl.DataFrame) -> AlertFacts:
        """Alerts as `read_alerts` gives them; without `detectors` no votes are known, and without `row` no column that names the group.

        Raises UserError for those of a view that the pipeline has not.
        """
        n = alerts.height
        if not n:
            return AlertFacts.none()
        views = alerts["view"].cast(pl.String)
        other = views.filter(~views.is_in(list(self._views)))
        if len(other):
            pipeline = self._plan.pipeline
            raise UserError(
                f"some alerts are of view {other[0]!r}, which pipeline {pipeline!r} has not: name the one that raised them"
            )
        row, column = alerts.schema.get("row"), self._plan.column
        named = isinstance(row, pl.Struct) and column != "" and any(field.name == column for field in row.fields)
        hexes = "".join(alerts["alert_id"].to_list())
        status = alerts["status"].cast(pl.String).replace_strict(list(STATUSES), range(len(STATUSES)), return_dtype=pl.Int8)
        return AlertFacts(
            ids=np.frombuffer(bytes.fromhex(hexes), np.uint8).reshape(n, 16),
            revision=alerts["revision"].to_numpy().astype(np.int64),
            status=status.to_numpy().astype(np.int8),
            view=views.replace_strict(self._views, return_dtype=pl.Int16).to_numpy().astype(np.int16),
            key=self.texts.of(alerts["key"]),
            level=self.texts.of(alerts["level"]),
            value=self.texts.of(alerts["row"].struct.field(column)) if named else np.full(n, -1, np.int32),
            time_ns=alerts["time"].cast(pl.Datetime("ns", "UTC")).to_physical().to_numpy().astype(np.int64),
            severity=alerts["severity"].fill_null(0.0).to_numpy().astype(np.float64),
            voted=self._votes(alerts, views) if "detectors" in alerts.columns else np.zeros(n, np.int64),
        )

    def _picked(self, texts: pl.Series, codes: I32) -> I32:
        """Codes of the texts that stand at `codes` in `texts`: only those that occur get one."""
        if not len(codes):
            return codes
        if len(texts) > _MANY * len(codes):
            used, places = np.unique(codes, return_inverse=True)
            return self.texts.of_distinct(texts[used.tolist()].to_list())[places]
        occurs = np.flatnonzero(np.bincount(codes, minlength=len(texts)))
        known = np.zeros(len(texts), np.int32)
        known[occurs] = self.texts.of_distinct(texts[occurs.tolist()].to_list())
        return known[codes]

    def _votes(self, alerts: pl.DataFrame, views: pl.Series) -> I64:
        entries = pl.DataFrame({"at": np.arange(alerts.height), "view": views, "entry": alerts["detectors"]}).explode("entry")
        voted = entries.filter(pl.col("entry").struct.field("voted")).with_columns(
            name=pl.concat_str(pl.col("view"), pl.lit("\x1f"), pl.col("entry").struct.field("name").cast(pl.String))
        )
        bits: Mapping[str, int] = {
            f"{view.name}\x1f{name}": 1 << bit for view in self._plan.views for bit, name in enumerate(view.detectors[:MOST_DETECTORS])
        }
        out = np.zeros(alerts.height, np.int64)
        masks = voted["name"].replace_strict(bits, default=0, return_dtype=pl.Int64)
        np.bitwise_or.at(out, voted["at"].to_numpy(), masks.to_numpy())
        return out
