"""The `episodes` section of a pipeline file as typed objects."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from offbeat.detectors.spec import Settings
from offbeat.spec.duration import instant_ns
from offbeat.spec.values import Instant, Name, Names, PositiveDuration, Text

LevelOrSeverity = Text | float


class EpisodeGroupSpec(Settings):
    """Which alerts can be of one episode. `group: key` and `group: all` are short for `{by: key}` and `{by: all}`."""

    short: ClassVar[str] = "by"

    by: Literal["key", "all"] | None = Field(
        default=None, description="`key`: alerts of one key. `all`: all alerts of the pipeline.", examples=["all"]
    )
    column: Name | None = Field(
        default=None,
        description="Alerts with one value of this text column. Alerts without a value are grouped by their key.",
        examples=["region"],
    )
    mapping: dict[Text, Text] | None = Field(
        default=None, min_length=1, description="Key → group. Other keys are groups of their own.", examples=[{"INFY": "IT", "TCS": "IT"}]
    )
    view: Name | None = Field(
        default=None, description="As the `rollup.key` of this view has it: its column, its mapping or its constant.", examples=["sector"]
    )
    source: Text | None = Field(
        default=None,
        description="A CSV or Parquet file with a group for each key; `key` and `value` name its columns.",
        examples=["sectors.csv"],
    )
    key: Text | None = Field(default=None, description="The column of `source` that holds the key.", examples=["symbol"])
    value: Text | None = Field(default=None, description="The column of `source` that holds the group.", examples=["sector"])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [self.by, self.column, self.mapping, self.view, self.source].count(None) != 4:
            raise ValueError("give exactly one of `by`, `column`, `mapping`, `view` and `source`")
        if (self.source is None) != (self.key is None) or (self.source is None) != (self.value is None):
            raise ValueError("`source` needs `key` and `value`, the columns of its keys and groups; they belong to it alone")
        return self


class MuteSpec(Settings):
    """Alerts that are known already. They make no episode that asks for attention, and can be listed."""

    key: Text = Field(description="A key, or a pattern: `*` for any text, `?` for one character.", examples=["CALLCENTRE-*"])
    view: Name | None = Field(default=None, description="Only alerts of this view.", examples=["customer_day"])
    reason: Text = Field(description="Why.", examples=["call centre"])
    since: Instant | None = Field(default=None, description="Alerts from this time on; UTC unless it has an offset. Default: all.")
    until: Instant | None = Field(
        default=None, description="Alerts before this time; UTC unless it has an offset. Default: for good.", examples=["2024-06-30"]
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.since is not None and self.until is not None and instant_ns(self.until) <= instant_ns(self.since):
            raise ValueError(f"`until` ({self.until}) is not after `since` ({self.since}): nothing is muted")
        return self


class SelectionSpec(Settings):
    """Episodes with an alert of one of these views and of one of these keys."""

    view: Names = Field(default=[], description="Views. Default: any.", examples=["market"])
    key: Names = Field(default=[], description="Keys or patterns of keys. Default: any.", examples=["NIFTY*"])

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.view and not self.key:
            raise ValueError("name a `view` or a `key`")
        return self


class InhibitSpec(Settings):
    """While an episode of `by` is open, episodes of `mutes` are inhibited: kept, but below those that ask for attention."""

    by: SelectionSpec = Field(description="The episodes that explain the others.", examples=[{"view": "market"}])
    mutes: SelectionSpec = Field(description="The episodes that they explain.", examples=[{"view": "bar"}])


class EpisodesSpec(Settings):
    """How alerts close in time become episodes. No alert depends on it."""

    group: EpisodeGroupSpec = Field(default=EpisodeGroupSpec(by="key"), description="Which alerts can be of one episode.", examples=["all"])
    quiet: PositiveDuration | dict[Name, PositiveDuration] | None = Field(
        default=None,
        description="An episode ends when none of its alerts came for longer than this; by view where they differ. Default: 30m, and at "
        "least two windows for a view with a rollup.",
        examples=["2h", {"customer_day": "3d"}],
    )
    opens: LevelOrSeverity = Field(
        default=0.0, description="Level, or severity (0 to 1), from which on an alert opens an episode.", examples=["high", 0.5]
    )
    holds: LevelOrSeverity | None = Field(
        default=None,
        description="Level or severity from which on an alert keeps an episode open: a lower one than `opens`, so that a condition which "
        "wavers about its limit is one episode. Default: that of `opens`.",
        examples=["medium"],
    )
    mutes: list[MuteSpec] = Field(
        default=[], description="What is known already.", examples=[[{"key": "SIM-*", "reason": "test SIMs", "until": "2024-06-30"}]]
    )
    mutes_file: Text | None = Field(
        default=None,
        description="More of them: a CSV, Parquet or YAML file with `key`, `reason` and perhaps `view`, `since` and `until`. "
        "`--mutes FILE` names another for one run.",
        examples=["mutes.csv"],
    )
    inhibit: list[InhibitSpec] = Field(
        default=[],
        description="Which episodes explain others.",
        examples=[[{"by": {"view": "market"}, "mutes": {"view": "bar"}}]],
    )
