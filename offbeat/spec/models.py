"""The pipeline file as typed objects. One description of every key: it parses, lints, and makes the JSON schema and the reference page."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    PositiveFloat,
    SerializeAsAny,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from offbeat.detectors.spec import DetectorSpec, Expression, Settings, detector_types
from offbeat.spec.duration import DEFAULT_CADENCE, past_length
from offbeat.spec.episode_models import EpisodesSpec
from offbeat.spec.other_detectors import as_plain, of_another_package
from offbeat.spec.sources import source_spec
from offbeat.spec.values import (
    Budget,
    Cadence,
    Cooldown,
    Day,
    DecimalMark,
    Duration,
    FilePattern,
    Instant,
    Name,
    Names,
    Nulls,
    Past,
    PositiveDuration,
    Separator,
    Share,
    Text,
    Thousands,
    TimeFormat,
    Zone,
)  # fmt: skip

DEFAULT_LEVELS = {"critical": 0.8, "high": 0.6, "medium": 0.4}
LOWEST_LEVEL = "low"
DEFAULT_BUDGET, DEFAULT_WARM_UP = "1 per day", 500
"""Of votes by surprise."""


def _by_type(_source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    kinds = {name: handler.generate_schema(kind) for name, kind in detector_types().items()}
    own = core_schema.tagged_union_schema(kinds, discriminator="type")
    out = core_schema.wrap_serializer_function_ser_schema(as_plain, info_arg=True, schema=own)
    return core_schema.no_info_wrap_validator_function(of_another_package, own, serialization=out)


Detector = Annotated[DetectorSpec, GetPydanticSchema(_by_type)]


class KeySpec(Settings):
    """What the rows belong to: a column, or a part of the file's name; with both, the name where a file has no such column.

    `key: symbol` is short for `key: {column: symbol}`.
    """

    short: ClassVar[str] = "column"

    column: Text | None = Field(default=None, description="The source's column that holds the key.", examples=["symbol"])
    headers: list[Text] = Field(
        default=[], description="Other spellings of that column; the first found wins.", examples=[["Symbol", "ticker"]]
    )
    file: FilePattern | None = Field(
        default=None,
        description="Regular expression searched in the file's name; its group `key`, or else its first group, is the key.",
        examples=["^(?P<key>[^_.]+)"],
    )
    optional: bool = Field(
        default=False,
        description="Whether a row without a key counts in windows on other keys, such as its region's. Otherwise it is quarantined as "
        "`missing`.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.optional and self.column is None:
            raise ValueError("`optional` belongs to a `column`: a file's name always gives a key")
        if self.optional and self.file is not None:
            raise ValueError("with `file` every row has a key: leave `optional` out")
        if self.column is None and self.file is None:
            raise ValueError("give `column`, `file` or both")
        if self.headers and self.column is None:
            raise ValueError("`headers` belongs to a `column`, not to a `file` pattern")
        return self


class TimeSpec(Settings):
    """When a row happened. `time: ts` is short for `time: {column: ts}`."""

    short: ClassVar[str] = "column"

    column: Text | None = Field(default=None, description="The source's column that holds the event time.", examples=["timestamp"])
    columns: list[Text] = Field(
        default=[],
        description="In place of `column`: the columns of its parts, such as a date and a time of day; read with a blank in between.",
        examples=[["date", "time"]],
    )
    headers: list[Text] = Field(
        default=[], description="Other spellings of the column; the first found wins.", examples=[["Datetime", "Date"]]
    )
    format: TimeFormat = Field(
        default="auto",
        description="`auto` (ISO 8601); `s`, `ms`, `us` or `ns` since 1970, or `epoch` for whichever of them each value's magnitude tells; "
        "`any`: ISO 8601 or `epoch`, each value by itself; or a strptime pattern.",
        examples=["auto", "epoch", "ns", "%d/%m/%Y %H:%M:%S"],
    )
    zone: Zone = Field(default="UTC", description="Time zone (IANA) of times without an offset.", examples=["Asia/Kolkata"])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.column is None) == (not self.columns):
            raise ValueError("give either `column` or `columns`")
        if self.columns and self.headers:
            raise ValueError("`headers` belongs to one `column`, not to `columns`")
        return self


class ColumnSpec(Settings):
    """A column that the pipeline reads. `price: float` is short for `price: {type: float}`."""

    short: ClassVar[str] = "type"
    former_values: ClassVar[Mapping[str, Mapping[str, str]]] = {"type": {"fixed": "decimal"}}

    type: Literal["float", "decimal", "text", "bool", "id"] = Field(
        description="`float`; `decimal`: exact to `scale` digits after the point, and so are its sums; `text`; `bool`; `id`: integers or "
        "text that are only compared, in `unique`, and not shown in alerts.",
        examples=["float"],
    )
    scale: int = Field(default=0, ge=0, le=18, description="Digits kept after the point of a `decimal` column.", examples=[9])
    headers: list[Text] = Field(
        default=[], description="Other spellings of the column in the source, besides its name; the first found wins.", examples=[["Close"]]
    )
    required: bool = Field(default=True, description="Whether a row without a value is quarantined as `missing`.")
    allow_nan: bool = Field(default=False, description="`float` only: NaN and infinity become null, and the row is not quarantined.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.scale and self.type != "decimal":
            raise ValueError(f"`scale` belongs to a column of type decimal, not {self.type}")
        if self.allow_nan and self.type != "float":
            raise ValueError(f"`allow_nan` belongs to a column of type float, not {self.type}")
        return self


class SourceSpec(Settings):
    """Where rows come from and how to read them."""

    type: Text | None = Field(
        default=None,
        description="A source of another package: the name it is installed under, or `package.module:Class`. Its settings go here too. "
        "It gives the rows unless the command names a SOURCE. Default: files.",
        examples=["my_package.my_module:MySource"],
    )
    format: Literal["auto", "csv", "parquet", "ndjson", "databento"] = Field(
        default="auto",
        description="`auto` goes by the file's name. `databento` does too, and knows how Databento writes prices, times and undefined "
        "values in each format.",
        examples=["csv"],
    )
    header: bool = Field(default=True, description="CSV: whether the first line names the columns; without it, `names` does.")
    names: list[Text] = Field(
        default=[], description="CSV without a header: the names of its columns, in order.", examples=[["caller", "ts"]]
    )
    separator: Separator = Field(default=",", description="CSV: the character between fields.", examples=[";"])
    nulls: Nulls = Field(
        default=[],
        description="Texts that stand for null, besides the empty one, in every column; as they are spelt.",
        examples=[["-", "\\N", "NULL", "nan"]],
    )
    decimal: DecimalMark = Field(default=".", description="What separates decimals in numbers that are text.", examples=[","])
    thousands: Thousands | None = Field(
        default=None, description="What groups the digits of numbers that are text, by threes (or as in 12,34,567).", examples=[","]
    )
    key: KeySpec = Field(description="What the rows belong to.", examples=["symbol"])
    time: TimeSpec = Field(description="When a row happened.", examples=["timestamp"])
    order: Name | None = Field(
        default=None, description="A `decimal` column that orders rows of equal time, such as a sequence number.", examples=["sequence"]
    )
    columns: dict[Name, ColumnSpec] = Field(min_length=1, description="The columns that the pipeline uses, by the names it gives them.")
    sort: bool = Field(
        default=False,
        description="Read each file in the order of its times, as for files with their newest rows first. Rows of one time stay in the "
        "order of the file. Not for standard input.",
        examples=[True],
    )
    where: Expression | None = Field(
        default=None,
        description="Which rows are rows of this pipeline: one for which this is false is counted as `filtered`, and nothing else is asked "
        "of it. Null passes, so a source without such a column keeps all rows.",
        examples=["action = 'T'"],
    )

    @model_validator(mode="after")
    def _headerless(self) -> Self:
        if self.header and self.names:
            raise ValueError("`names` is for files without a header: add `header: false`")
        if not self.header and not self.names:
            raise ValueError("a source with `header: false` needs `names`")
        if self.decimal == self.thousands:
            raise ValueError(f"`decimal` and `thousands` cannot both be {self.decimal!r}; 1.234,5 has `decimal: ','` and `thousands: '.'`")
        return self


class ToleranceSpec(Settings):
    """How bad the input of a run may be. Beyond that the command ends with exit code 3; its outputs are written all the same."""

    quarantined: Share | None = Field(default=None, description="Share of the rows that may be quarantined.", examples=["5 %"])
    late: Share | None = Field(default=None, description="Share of the rows that may be late.", examples=["1 %"])


class QualitySpec(Settings):
    """Which rows are fit to be scored. The others are quarantined with a reason."""

    rules: dict[Name, Expression] = Field(
        default={},
        description="Conditions by name. A row for which one is false is quarantined under that name; null passes.",
        examples=[{"price": "close > 0"}],
    )
    unique: list[Text] = Field(
        default=[],
        description="Columns that identify a row of a key: a second row with the same values is a duplicate. `time` is the event time.",
        examples=[["time", "sequence"]],
    )
    keep: Literal["first", "last"] = Field(
        default="first",
        description="Which of several versions of a row counts (equal on `unique`, other content). `first`: the others are quarantined as "
        "`conflict`. `last`: a row waits until its key has one of a later time, and a newer version takes its place meanwhile; it needs "
        "`time` in `unique`.",
        examples=["last"],
    )
    lateness: Duration = Field(
        default="0s", description="How far a row's time may lie behind its key's newest row and still be put in order.", examples=["5s"]
    )
    dedup_rows: int = Field(default=64, ge=1, le=65_536, description="How many of a key's last accepted rows are searched for duplicates.")
    not_before: Instant = Field(default="2000-01-01", description="Earlier rows are quarantined. UTC unless it has an offset.")
    not_after: Instant | None = Field(
        default=None, description="Later rows are quarantined. UTC unless it has an offset.", examples=["2030-01-01"]
    )
    max_jump: PositiveDuration = Field(
        default="35d",
        description="A row further than this past its key's last row must be confirmed by the key's next row.",
        examples=["35d"],
    )
    forget_after: PositiveDuration | None = Field(
        default=None,
        description="A key that has no row for longer than this starts anew with its next one, and what is kept of it goes: for keys that "
        "come and go without end. Longer than `lateness`. Views with a `rollup` keep what they know of their targets.",
        examples=["90d"],
    )
    tolerate: ToleranceSpec = Field(
        default=ToleranceSpec(), description="Shares of quarantined and late rows beyond which a run ends with exit code 3."
    )
    cadence: Cadence | None = Field(
        default=None,
        description="Expected step between rows of a key; larger steps are reported as gaps, and windows `over: 1 cadence` are as long. "
        f"`auto`: as the first rows of the files have it, {DEFAULT_CADENCE} where they have none and on standard input.",
        examples=["1m", "auto"],
    )
    calendar: Text | None = Field(
        default=None,
        description="Trading calendar (a code of exchange_calendars): gaps are reported only within its sessions. `24/7`: always open.",
        examples=["XBOM", "24/7"],
    )


class RollupKeySpec(Settings):
    """The key of a rollup's windows: the source's key, a text column, one constant for all rows, or a mapping of the source's keys."""

    short: ClassVar[str] = "column"

    column: Name | None = Field(default=None, description="The column of the source's key, or a text column.", examples=["region"])
    constant: Text | None = Field(default=None, description="One key for all rows.", examples=["market"])
    mapping: dict[Text, Text] | None = Field(
        default=None, min_length=1, description="Source key → target key. Rows of other keys are not selected.", examples=[{"INFY": "IT"}]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [self.column, self.constant, self.mapping].count(None) != 2:
            raise ValueError("give exactly one of `column`, `constant` and `mapping`")
        return self


class RollupSpec(Settings):
    """Tumbling windows on another key. Their exact aggregates are the rows of the view."""

    former: ClassVar[Mapping[str, str]] = {"every": "size"}

    key: RollupKeySpec = Field(description="The key of the windows.")
    where: Expression | None = Field(default=None, description="Only rows for which this is true count.", examples=["kind = 'DATA'"])
    size: PositiveDuration = Field(
        description="Size of the windows. Whole days begin at midnight in the pipeline's `zone`, others at multiples since 1970.",
        examples=["1m", "1d"],
    )
    columns: dict[Name, Expression] = Field(
        min_length=1,
        description="The view's columns: expressions over count, sum, mean, min and max.",
        examples=[{"turnover": "sum(volume)", "bars": "count(*)"}],
    )
    fill: Literal["none", "zero"] | None = Field(
        default=None,
        description="`zero`: a key that had a row has a window in every tick from then on, also where no row of it comes, so that a total "
        "outage is seen: counts and sums are 0 there, all else is null. For few keys. Not with `as_of.mode: fixed`, which then has none. "
        "Not given: `zero` where a rule of the view looks for low counts or sums and the key is not the source's, else `none`.",
        examples=["zero"],
    )


class WindowSpec(Settings):
    """The last rows of a key, or its rows of the last minutes or days, and the features computed from them."""

    former: ClassVar[Mapping[str, str]] = {"at_least": "min_rows"}

    over: Past = Field(
        description="Length: a duration, a number of rows or of cadences (`quality.cadence`), or `all`, the key's whole past. `all` has "
        "count, sum, mean, std, var, min and max, of columns with a scale, counts and conditions, from exact sums; or `ewma`, `ewstd` "
        "and `ar` of anything.",
        examples=["10m", "100 rows", "1 cadence", "all"],
    )
    current: bool = Field(default=False, description="Whether the row being scored is itself in the window.")
    lag: PositiveDuration | None = Field(
        default=None, description="Gap between the window's end and the row; for windows of time.", examples=["7d"]
    )
    season: PositiveDuration | None = Field(
        default=None,
        description="Only what lies at the same place in this season: of a rollup the windows at the same hour of the day, of rows those "
        "in the same `slot`.",
        examples=["1d", "7d"],
    )
    slot: PositiveDuration | None = Field(
        default=None,
        description="For a `season` in a view of rows: the length of its places, which begin with the local day (in seasons of whole "
        "weeks: with a Thursday).",
        examples=["1h", "30m"],
    )
    min_rows: int | None = Field(
        default=None,
        ge=1,
        description="With fewer rows, every feature is null. Default: all its rows for a window of rows, 1 for a duration.",
        examples=[5],
    )
    features: dict[Name, Expression] = Field(
        min_length=1,
        description="Names and expressions over aggregates of the window.",
        examples=[{"mean_volume": "sum(volume) / count(*)"}],
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _, rows = past_length(self.over)
        if rows and self.min_rows is not None and self.min_rows > rows:
            raise ValueError(f"`min_rows: {self.min_rows}` can never be reached: the window holds {rows} rows")
        if self.lag is not None and (rows or self.current):
            raise ValueError("`lag` belongs to a window of time without the current row")
        if self.slot is not None and self.season is None:
            raise ValueError("`slot` belongs to a `season`")
        return self


class VoteSpec(Settings):
    """How many detectors must agree, or how surprising together what they say must be."""

    former: ClassVar[Mapping[str, str]] = {"at_least": "quorum"}

    quorum: int = Field(
        default=1, ge=1, description="Votes that make an alert. With fewer verdicts than that, the view abstains.", examples=[2]
    )
    by: Literal["votes", "surprise"] = Field(
        default="votes",
        description="`votes`: detectors that flag a row are counted. `surprise`: whether they flag it does not matter; how rare what each "
        "one says is for this key is added up, in powers of ten, and what surprises most becomes an alert, as often as `budget` has it.",
        examples=["surprise"],
    )
    budget: Budget | None = Field(
        default=None,
        description="For `by: surprise`: how many alerts of a key are wanted, in the long run and if nothing happens. Default: "
        f"{DEFAULT_BUDGET}.",
        examples=["1 per day", "5 per week", "10 per 10000 rows"],
    )
    warm_up: int | None = Field(
        default=None,
        ge=1,
        description="For `by: surprise`: how many verdicts of a detector, and rows of a key, come before the first that can be rare. "
        f"Default: {DEFAULT_WARM_UP}.",
        examples=[200],
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.by == "surprise" and self.quorum != 1:
            raise ValueError("`quorum` counts votes; with `by: surprise` nothing is counted: leave it out")
        for name in ("budget", "warm_up"):
            if self.by == "votes" and getattr(self, name) is not None:
                raise ValueError(f"`{name}` belongs to `by: surprise`")
        return self


class SeveritySpec(Settings):
    """How bad an alert is, and what the levels are called."""

    levels: dict[Name, float] = Field(
        default=DEFAULT_LEVELS,
        description=f"Level → the severity (0 to 1) above which it applies, greatest first. Below all of them it is `{LOWEST_LEVEL}`.",
        examples=[DEFAULT_LEVELS],
    )

    weights: dict[Text, PositiveFloat] = Field(
        default={},
        description="Part → weight: the severity is the weighted mean of the parts. Parts are `score` (mean calibrated score of the "
        "detectors that voted), `confidence` (votes / voters) and DETECTOR.VALUE of a range detector, such as `zscore.price`. Default: "
        "1 - 1/r, where r is how many times over its threshold the furthest detector is.",
        examples=[{"score": 0.6, "confidence": 0.4}],
    )

    @model_validator(mode="after")
    def _descending(self) -> Self:
        values = list(self.levels.values())
        if LOWEST_LEVEL in self.levels:
            raise ValueError(f"`{LOWEST_LEVEL}` is the level below all others; it has no limit of its own")
        if any(not 0 <= value < 1 for value in values):
            raise ValueError("levels must be at least 0 and below 1: severity never exceeds 1")
        if any(after >= before for before, after in pairwise(values)):
            raise ValueError(
                "levels must be descending, the greatest first: " + ", ".join(f"{name} {value:g}" for name, value in self.levels.items())
            )
        return self


class ViewSpec(Settings):
    """One way to look at the rows: windows, detectors over them, and a vote."""

    description: str = Field(default="", description="For people; changes nothing.")
    rollup: RollupSpec | None = Field(default=None, description="Score windows on another key instead of rows.")
    windows: dict[Name, WindowSpec] = Field(default={}, description="Windows by name.")
    detectors: dict[Name, Detector] = Field(min_length=1, description="Detectors by name; `type` says which kind.")
    vote: VoteSpec = Field(default=VoteSpec(), description="How many detectors must agree.")
    severity: SeveritySpec = Field(default=SeveritySpec(), description="How bad an alert is, and what the levels are called.")
    cooldown: Cooldown | None = Field(
        default=None,
        description="After an alert of a key, so many of its rows (or so long) only a stronger one is raised: one that is further over its "
        "threshold than the last. Those that are not raised are counted. Default: every alert is raised.",
        examples=["100 rows", "1h"],
    )


class DimensionSpec(Settings):
    """A file with more about each key, joined to the rows of a table."""

    source: Text | None = Field(default=None, description="A Parquet or CSV file; without it nothing is joined.", examples=["people.csv"])
    key: Text = Field(description="Its column that holds the key.", examples=["customer_id"])
    columns: list[Text] = Field(default=[], description="Its columns to join. Default: all others.", examples=[["segment"]])


class TableSpec(Settings):
    """A table that `offbeat run --tables` writes: a row per window of a view, partitioned by local day."""

    view: Name = Field(description="A view with a rollup.")
    where: Names = Field(
        default=[],
        description="Which windows, by one or more of: `alert`; DETECTOR, where it voted; DETECTOR.scored, where it gave a verdict; a "
        "column or feature, where it is not null; another view, where a window that shares rows with this one has an alert. Default: all.",
        examples=["alert", ["zscore", "region_hour"]],
    )
    columns: list[Text] = Field(
        default=[],
        description="After the key, `start` and `day`: columns and features of the view, `alert`, `severity`, `level`, DETECTOR.score, "
        "DETECTOR.voted, DETECTOR.VALUE of a range detector (its signed distance from the baseline, such as standard deviations); of "
        "another view, VIEW (its alerts on windows that share rows with this one) and VIEW.DETECTOR (whether it voted on one of these). "
        "Default: all columns and features, and score and vote of each detector.",
        examples=[["sessions", "zscore.sessions", "zscore.voted"]],
    )
    dimension: DimensionSpec | None = Field(default=None, description="A file with more about each key.")


class AsOfSpec(Settings):
    """The moment as of which windows are scored. `as_of: fixed` is short for `as_of: {mode: fixed}`."""

    short: ClassVar[str] = "mode"

    mode: Literal["rolling", "fixed"] = Field(
        default="rolling",
        description="`rolling`: each window as of its own end, by what lies before it. `fixed`: a whole batch as of one day. Windows "
        "`over: all` with a `lag` then hold, for every row, what they hold for the last window before that day, and are null for rows that "
        "would be in them. A population forest learns from the days before that day and scores these same days.",
        examples=["fixed"],
    )
    date: Day | None = Field(
        default=None,
        description="For `fixed`: the day. It is not scored, nor are later days. Default: the day after the last one with at "
        "least 1 % of a median day's rows.",
        examples=["2024-03-01"],
    )

    @model_validator(mode="after")
    def _dated(self) -> Self:
        if self.date is not None and self.mode != "fixed":
            raise ValueError("`date` belongs to `mode: fixed`")
        return self


def _of_type(value: Any, validate: ValidatorFunctionWrapHandler) -> SourceSpec:
    """The keys of a source of another package are those of all sources and those of its own settings."""
    kind = source_spec(SourceSpec, value)
    return kind.model_validate(value) if kind is not SourceSpec else cast("SourceSpec", validate(value))


class PipelineSpec(Settings):
    """A pipeline: a source, what its rows must satisfy, and the views that score them."""

    name: Name = Field(description="The pipeline's name; alert ids derive from it.", examples=["bars"])
    description: str = Field(default="", description="For people; changes nothing.")
    source: Annotated[SerializeAsAny[SourceSpec], WrapValidator(_of_type)] = Field(description="Where rows come from and how to read them.")
    quality: QualitySpec = Field(default=QualitySpec(), description="Which rows are fit to be scored.")
    views: dict[Name, ViewSpec] = Field(min_length=1, description="Views by name.")
    tables: dict[Name, TableSpec] = Field(default={}, description="Tables that `--tables` writes, by name.")
    episodes: EpisodesSpec | None = Field(default=None, description="How alerts close in time become episodes. Every pipeline has them.")
    as_of: AsOfSpec = Field(default=AsOfSpec(), description="The moment as of which windows are scored.")
    zone: Zone | None = Field(
        default=None, description="Time zone (IANA) of days and hours. Default: that of `source.time`.", examples=["Africa/Algiers"]
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of the random choices of trained detectors.")
