"""The Plan: what a pipeline means, typed, checked and hashed; engines need nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from offbeat.core.episode_plan import EpisodePlan
from offbeat.core.expression_program import NOTHING, Program

Kind = Literal["float", "decimal", "text", "bool"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the source."""

    name: str
    kind: Kind
    scale: int = 0
    """Digits kept after the point of a `decimal` column (S9)."""
    headers: tuple[str, ...] = ()
    """Spellings of the column in the source, the first found wins; its own name is always among them."""
    required: bool = True
    """A row without a value is quarantined as `missing`."""
    allow_nan: bool = False
    compared: bool = False
    """A `decimal` whose values are only compared [R13]: text that is no whole number stands as the hash of its bytes."""
    nulls: tuple[str, ...] = ()
    """Texts that stand for null in this column besides those of the source, and, where it has numbers, the numbers they are."""


@dataclass(frozen=True, slots=True)
class TimePlan:
    headers: tuple[str, ...]
    format: str
    """`auto` (ISO 8601), `s`, `ms`, `us`, `ns` or `epoch` (any of them, by magnitude), `any` (ISO 8601 or `epoch`), or a strptime
    format of Polars (chrono)."""
    zone: str
    """IANA zone of times without an offset."""
    rest: tuple[str, ...] = ()
    """Columns whose text follows, after a blank, that of the first one; empty: one column holds the time."""


KEY = "key"
"""What the key of a row, or of a window, is called in expressions."""
NO_KEY = ""
"""The key of rows without one. No other has it, as an empty text is null."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """What expressions read of a text besides its own codes."""

    name: str
    """`like`, `hash`: the name of the input. `prefix`: what it is called among the texts with codes."""
    column: str
    """A text column, or `key`."""
    kind: Literal["prefix", "like", "hash"]
    """prefix: its first characters, as a text. like: whether it matches a pattern. hash: a whole number below 2^53 that stands for it."""
    length: int = 0
    """prefix: how many characters. hash: of so many characters; 0: of all."""
    pattern: str = ""
    """like: with % for any text and _ for any character."""


TextCodes = tuple[tuple[str, tuple[str, ...]], ...]


def text_inputs(codes: TextCodes, parts: tuple[TextPart, ...], column: str) -> tuple[str, ...]:
    """Names of the inputs that are made of one text column."""
    of = {part.name: part.column for part in parts}
    coded = [f"{name}@code" for name, _ in codes if of.get(name, name) == column]
    return (*coded, *(part.name for part in parts if part.kind != "prefix" and part.column == column))


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """Which rows are rows of this pipeline [R1]: complete by itself, so that whoever reads rows can ask."""

    text: str
    """The condition in its canonical form."""
    program: Program
    """One output, false (0) for a row that is filtered; over number columns and `COLUMN@code`s."""
    codes: tuple[tuple[str, tuple[str, ...]], ...]
    """Text columns of the condition and their literals, as in `Plan.codes`."""
    parts: tuple[TextPart, ...] = ()


@dataclass(frozen=True, slots=True)
class SourcePlan:
    format: Literal["auto", "csv", "parquet", "ndjson", "databento"]
    header: bool
    """CSV: whether the first line names the columns; without it, `names` does."""
    names: tuple[str, ...]
    separator: str
    key_column: tuple[str, ...]
    """Header spellings of the key's column; empty when the key comes from the file name alone."""
    key_pattern: str
    """Regular expression on the file name; its group `key` (or the first group) is the key, of a file without a column of the
    key; '' when the key is always a column."""
    time: TimePlan
    order: str
    """Name of the decimal column that orders equal times; ''."""
    columns: tuple[Column, ...]
    type: str = ""
    """The source of another package that rows come from where no other is named: an installed name, or `package.module:Class`."""
    settings: object = None
    """That source's own settings, as its class types them."""
    where: FilterPlan | None = None
    """None: every row is one of this pipeline."""
    sort: bool = False
    """Files are read in the order of their times, not of their rows."""
    max_jump_ns: int | None = None
    """As in `QualityPlan`: a row further ahead must not move the rows of its file among those of others. None: any may."""
    key_optional: bool = False
    """A row may have no key: it then goes by `NO_KEY`, and only windows on other keys know it."""
    nulls: tuple[str, ...] = ()
    """Texts that stand for null, besides the empty one."""
    decimal: str = "."
    """What separates decimals in text."""
    thousands: str = ""
    """What groups the digits of numbers in text; '': nothing."""


@dataclass(frozen=True, slots=True)
class TolerancePlan:
    """Shares of a run's rows up to which its input is good enough; None: whatever comes."""

    quarantined: float | None = None
    late: float | None = None


@dataclass(frozen=True, slots=True)
class QualityPlan:
    rules: tuple[str, ...]
    """Names of the row rules; `program` has one output for each."""
    program: Program | None
    unique: tuple[str, ...]
    """Columns; `time` is the event time. Empty: no deduplication."""
    lateness_ns: int
    dedup_rows: int
    not_before_ns: int
    not_after_ns: int | None
    max_jump_ns: int
    cadence_ns: int | None
    calendar: str
    """exchange_calendars code; ''."""
    recognise: bool = False
    """The cadence is a default, which the rows' own takes the place of where they can be looked at first."""
    tolerate: TolerancePlan = TolerancePlan()
    keep_last: bool = False
    """Of several versions of a row (equal on `unique`, other content) the last one counts, else the first."""
    forget_ns: int = 0
    """A key without a row for longer than this starts anew; 0: none does."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate of a window: `function` over the output `argument` of the window's argument program (-1: none)."""

    function: str
    """count_rows, count, sum, sum_exact, mean, std, var, min, max, first, last, median (as quantile), quantile, mad, distinct, span, rate;
    those of `DECAYED`, which stand in windows of their own.
    A rollup has only count_rows, count, sum_exact, min, max, distinct (of hour@ and weekday@), distinct_set (of all else), mean_exact:
    (S1 / n) / 10^scale with S1 the exact sum of the n values."""
    argument: int = -1
    q: float = 0.5
    scale: int = 0
    """sum_exact, mean_exact: decimal digits of the exact integer."""
    rows: int = 0
    """ewma, ewstd: how many rows the mean reaches back, about. ar: how many values the forecast is made of."""
    column: str = ""
    """sum_exact, mean_exact: the decimal column whose integers are summed where the argument is not null; '' for a truth value."""


DECAYED = frozenset({"ewma", "ewstd", "ar", "still"})
"""Aggregates of a key's whole past in which later rows count for more."""


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """One keyed window of a view and the features read from it."""

    name: str
    duration_ns: int
    """0 for a window of rows."""
    rows: int
    """0 for a window of time."""
    current: bool
    min_rows: int
    """With fewer rows every feature is null."""
    arguments: Program
    """Row expressions under the aggregates, over the view's columns; one output each."""
    aggregates: tuple[Aggregate, ...]
    features: tuple[str, ...]
    feature_program: Program
    """Inputs `agg0`, `agg1`, … (in the order of `aggregates`); one output for each of `features`."""
    changes: Program = NOTHING
    """Row expressions, over the view's columns, whose change against the key's row before is read by `arguments` as `diff@0`, `diff@1`, …;
    `gap@` is the time since that row, in seconds."""
    lag_ns: int = 0
    """Gap between a time window's end and the row."""
    season_ns: int = 0
    """Only rows (in a view with a rollup: windows) at the same place in the season, such as the same hour of the day. 0: all."""
    slot_ns: int = 0
    """Views of rows: length of one place in the season."""

    @property
    def decayed(self) -> bool:
        """Whether it holds all of the past, later rows counting for more."""
        return any(aggregate.function in DECAYED for aggregate in self.aggregates)

    @property
    def neighbours(self) -> bool:
        """Whether something is read of the key's row before."""
        return bool(self.changes.outputs) or "gap@" in self.arguments.inputs


@dataclass(frozen=True, slots=True)
class RollupPlan:
    """A view on another key (S13)."""

    key_column: str
    """Text column, or '' ."""
    key_constant: str
    mapping: tuple[tuple[str, str], ...]
    """Source key → target key; rows of keys outside it are not selected. Empty: none."""
    key_source: bool
    """The source's own key."""
    where: int
    """Output of `arguments` that is true for selected rows; -1: all are."""
    size_ns: int
    zone: str
    """Zone of the windows when their size is a whole number of days; else windows start at multiples of their size since the epoch."""
    arguments: Program
    """Over the source's columns, and `hour@` and `weekday@`: local hour (0 to 23) and day of the week (1 = Monday) of the row."""
    aggregates: tuple[Aggregate, ...]
    columns: tuple[str, ...]
    """Names of the rollup's results, columns of the view."""
    column_program: Program
    """Inputs `agg0`, …; one output for each of `columns`."""
    sure: tuple[bool, ...] = ()
    """For each output of `arguments`, whether it is never null."""
    fill: bool = False
    """A target once seen has a window in every tick: counts and sums are 0 where it has no row [R11]."""


@dataclass(frozen=True, slots=True)
class RulePlan:
    """A rule detector: outputs of the view's rule program."""

    name: str
    comparison: Literal["", ">", ">=", "<", "<="]
    when: int
    observed: int
    """Output number in the view's rule program; -1: none. So for the next two."""
    threshold: int
    expected: int
    measure: str
    """The observed side as text, for contributions and explanations."""
    text: str
    """The whole rule as the user wrote it."""
    type: str = "rule"
    early: bool = False
    """It may fire while a window is still open, as its condition can only come true."""
    floor: int = -1
    """Output for what severity is measured by where the threshold is not above 0; -1: none."""


@dataclass(frozen=True, slots=True)
class Term:
    """A value and its baseline: outputs of the view's program, and the limit in units of the spread."""

    feature: str
    """The value as text."""
    value: int
    center: int
    below: int
    """Tolerance under the center, and for `above` over it: distances."""
    above: int
    limit: float
    """The tolerance in the detector's own unit: 4 for four standard deviations, 1 where it has none."""
    least: int = -1
    """Output for the least value in the window of the center: a baseline range is not shown below 0 if that is not below it; -1: none."""
    positive: bool = False
    """The value is never negative, whatever the rows: so much is known from what it is made of."""
    seen: tuple[int, int] | None = None
    """Outputs for the least and the greatest value in the window, where a tolerance of 0 does not say that all are equal."""


@dataclass(frozen=True, slots=True)
class RangePlan:
    """A detector that compares values with a baseline: z-score, band, quantiles."""

    name: str
    type: str
    terms: tuple[Term, ...]
    early: bool = False
    """It may fire while a window is still open, on values above the baseline: they can only rise."""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A detector that is trained for each key on its last rows [S14, S17]."""

    name: str
    type: str
    features: tuple[str, ...]
    """The features as text."""
    inputs: tuple[int, ...]
    """Outputs of the view's program, one a feature."""
    settings: tuple[tuple[str, int | str], ...]
    """Arguments of the model's class; of another package's detector its `settings` as JSON."""
    train_on: int
    retrain_every: int
    train_min: int
    contamination: float
    """0 where `limit` is given."""
    limit: float | None
    """A fixed threshold on the raw score."""
    learn: Literal["all", "unflagged", "once"] = "all"
    """Which rows are learned: all; those that are not flagged; those before the first training."""
    patience: int = 0
    """unflagged: after so many flagged rows in a row the next ones are learned all the same."""


@dataclass(frozen=True, slots=True)
class PopulationPlan:
    """A detector of a view with a rollup that is trained over all keys [S15]."""

    name: str
    type: str
    features: tuple[str, ...]
    """The features as text."""
    inputs: tuple[int, ...]
    """Outputs of the view's program, one a feature."""
    settings: tuple[tuple[str, int | str], ...]
    """Arguments of the method's class; of another package's detector its `settings` as JSON."""
    over_ns: int
    """How far the windows it learns from reach back."""
    sample_rows: int
    """Most rows that a model is trained on."""
    train_min: int
    contamination: float
    model: str
    """File of a model that scores instead of trained ones; ''."""


@dataclass(frozen=True, slots=True)
class AbsencePlan:
    """A detector of a view with a rollup for windows that a key should have and has not."""

    name: str
    type: str
    limit: float
    """A silence is flagged when its chance lies below this."""
    min_history: int
    """Windows from the key's first to its last."""


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """A detector for values beyond all that a key had before."""

    name: str
    type: str
    features: tuple[str, ...]
    """The features as text."""
    inputs: tuple[int, ...]
    """Outputs of the view's program, one a feature."""
    limit: float
    """How far beyond its range a value is flagged, in widths of it."""
    leak: float
    """Share of their distance to the mean by which the ends of the range move towards it with every value."""
    warm_up: int
    """Values of a feature before its first verdict."""


@dataclass(frozen=True, slots=True)
class ExtensionPlan:
    """A stateless or incremental detector of another package."""

    name: str
    type: str
    """`package.module:Class`, or the name under which a package installed it."""
    features: tuple[str, ...]
    """The features as text."""
    inputs: tuple[int, ...]
    """Outputs of the view's program, one a feature."""
    settings: str
    """Its settings as JSON."""
    limit: float
    """Threshold on the raw score."""


DetectorPlan = RulePlan | RangePlan | ModelPlan | PopulationPlan | AbsencePlan | RecordPlan | ExtensionPlan


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the severity: `score`, `confidence`, or how far a value of a range detector lies from its baseline."""

    name: str
    weight: float
    detector: int = -1
    """Number of the detector in the view; -1 for the first two."""
    term: int = -1


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """How many alerts of a key are wanted at most, in the long run."""

    alerts: float
    unit_ns: int
    """In so much time; 0: in so many rows."""
    unit_rows: int
    warm_up: int
    """Values of a detector before it has a rank."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    name: str
    rollup: RollupPlan | None
    columns: tuple[str, ...]
    """Numeric names that expressions of this view may use before features: number columns of the source and `@code`s of texts, or the
    rollup's columns."""
    windows: tuple[WindowPlan, ...]
    detectors: tuple[DetectorPlan, ...]
    program: Program
    """Over the view's columns, features, and features of `backgrounds`: what the detectors read."""
    quorum: int
    """Votes that make an alert; with fewer voters the view abstains."""
    levels: tuple[tuple[str, float], ...]
    """Greatest first: ('critical', 0.8), ('high', 0.6), ('medium', 0.4)."""
    backgrounds: tuple[WindowPlan, ...] = ()
    """Windows over columns and features that detectors asked for themselves; not shown in alerts."""
    weights: tuple[Part, ...] = ()
    """Empty: the severity is that of the detector furthest over its threshold."""
    budget: BudgetPlan | None = None
    """Votes by surprise: so many alerts a key; None: votes are counted."""
    cooldown_rows: int = 0
    """So many rows of the key after an alert only a stronger one is raised; 0: `cooldown_ns` says how long."""
    cooldown_ns: int = 0
    """0 as well: every alert is raised."""

    @property
    def inputs(self) -> frozenset[str]:
        """Whatever its detectors and windows read of a row: columns, features, the clock."""
        windows = (*self.windows, *self.backgrounds)
        programs = (self.program, *(window.arguments for window in windows), *(window.changes for window in windows))
        return frozenset(name for program in programs for name in program.inputs)


LINKED_WINDOWS = 64
"""Windows of one view that can be linked to a window of another: bits of a mask."""


@dataclass(frozen=True, slots=True)
class TableValue:
    """A value that is known of a scored window: a column of a table, or a condition for the window to be in it."""

    name: str
    """The column's name in the table."""
    kind: Literal["column", "feature", "score", "voted", "term", "alert", "severity", "level", "linked", "linked_voted"]
    """column, feature: of the view. score, voted, term (the distance of a range detector's value, signed, in the detector's unit): of a
    detector. alert, severity, level: of the view's decision. linked, linked_voted: alerts, and votes of a detector, on windows of the view
    `view` that share rows with this one."""
    index: int = -1
    """Number of the column, feature or detector."""
    term: int = -1
    view: str = ""
    key: str = ""
    """linked: what the key of `view` is called."""


@dataclass(frozen=True, slots=True)
class DimensionPlan:
    """A file with more about each key."""

    source: str
    key: str
    columns: tuple[str, ...]
    """Empty: all."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """A table of the windows of a view with a rollup, written by local day of their start."""

    name: str
    view: str
    key: str
    """Name of the key's column."""
    columns: tuple[TableValue, ...]
    where: tuple[TableValue, ...]
    """A window is in the table where one of these is true, or there, for a number. Empty: every window is."""
    dimension: DimensionPlan | None

    @property
    def linked(self) -> tuple[str, ...]:
        """Views whose windows are attached."""
        return tuple(dict.fromkeys(value.view for value in (*self.columns, *self.where) if value.view))


@dataclass(frozen=True, slots=True)
class AsOfPlan:
    """All of a batch is scored as of the beginning of one local day [S16]."""

    day: int | None
    """Days since 1970-01-01; None: the day after the last row's."""


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    source: SourcePlan
    quality: QualityPlan
    views: tuple[ViewPlan, ...]
    codes: tuple[tuple[str, tuple[str, ...]], ...]
    """Text columns used in expressions and their literals. Expressions see the column as the number `COLUMN@code`: the literal's index,
    -1 for any other text, null for null. The columns may also be `prefix`es among `parts`, and `key`."""
    plan_hash: str
    """32 hex digits over everything that decides an alert."""
    state_hash: str
    """32 hex digits over key, order, windows and training only (S24)."""
    state_parts: dict[str, str] = field(default_factory=dict, hash=False)
    """Part of the spec (key, time, order, lateness, unique, windows …) → its canonical JSON: what `state_hash` covers, so that a
    difference can be named."""
    text: str = ""
    """The pipeline as canonical YAML or JSON."""
    seed: int = 0
    """What all random choices derive from, with key, detector and training number [S14]."""
    tables: tuple[TablePlan, ...] = ()
    """Tables that a run can write; they decide nothing."""
    as_of: AsOfPlan | None = None
    """None: each window is scored as of its own end."""
    parts: tuple[TextPart, ...] = ()
    """What else is read of texts."""
    zone: str = "UTC"
    """IANA zone of days and hours."""
    episodes: EpisodePlan = field(default_factory=lambda: EpisodePlan("", ()))
    """How alerts become episodes; it decides no alert."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """Notes for the pipeline's author, such as former names of settings; part of a run's notes."""

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """(view, other view) where a table attaches windows of the other view."""
        return tuple(dict.fromkeys((table.view, other) for table in self.tables for other in table.linked))
