"""What every detector's settings have in common, and the list of all kinds of detector.

A detector's settings live in `offbeat/detectors/NAME_spec.py`, beside the detector, as a subclass of `DetectorSpec` whose `type` is a
Literal. Nothing else is needed: the file is found by its name, and parsing, lint, JSON schema and reference page follow from the class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

import offbeat.detectors
from offbeat.core.plan import DetectorPlan, ModelPlan, RulePlan
from offbeat.detectors.former_names import FormerName, warn

_PATIENCE = 500
MOST_FEATURES = 255
"""The trees number the columns they split in one byte."""


class Settings(BaseModel):
    """A mapping of the pipeline file. Unknown keys and wrong types are errors; nothing is converted in silence."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False)

    short: ClassVar[str] = ""
    """Field that a bare text stands for: `price: float` for `price: {type: float}`. '' = there is no short form."""

    former: ClassVar[Mapping[str, str]] = {}
    """Former name of a setting → its name: read for one version, with a note. Hashes go by the former name for good, so that they stay."""
    former_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Setting → former spelling of a value → the value: likewise."""

    @model_validator(mode="before")
    @classmethod
    def _as_mapping(cls, value: Any) -> Any:
        given = {cls.short: value} if cls.short and isinstance(value, str) else value
        if not isinstance(given, dict):
            return given
        present, found = cls.by_present_names(given)
        if found:
            warn([f"{cls.__name__}: {name}" for name in found])
        return present

    @classmethod
    def by_present_names(cls, given: Mapping[Any, Any]) -> tuple[dict[Any, Any], list[FormerName]]:
        """Settings with former names replaced, and which these were. Raises ValueError where a setting stands under both names."""
        present, found = dict[Any, Any](), list[FormerName]()
        for key, value in given.items():
            name = key if key in cls.model_fields else cls.former.get(key, key)
            if name != key:
                if name in given:
                    raise ValueError(f"`{key}` and `{name}` are one setting; `{key}` is its former name: give `{name}` alone")
                found.append(FormerName(name, key, name))
            values = cls.former_values.get(name, {})
            present[name] = value
            if isinstance(value, str) and value in values:
                present[name] = values[value]
                found.append(FormerName(name, value, values[value]))
        return present, found

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        if not cls.short:
            return schema
        full = handler.resolve_ref_schema(schema)
        field = dict(full["properties"][cls.short])
        field.pop("default", None)
        described: JsonSchemaValue = {key: full.pop(key) for key in ("title", "description") if key in full}
        described["anyOf"] = [{**field, "description": f"Short for {{{cls.short}: …}}."}, dict(full)]
        full.clear()
        full.update(described)
        return schema


def _as_text(value: Any) -> Any:
    """YAML reads `expected: 0` and `when: true` as a number and a truth value; both are expressions."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return repr(value) if isinstance(value, int | float) else value


Expression = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | float | bool)]
"""An expression as text; checked when the plan is made, where the columns are known."""

Early = Annotated[
    bool,
    Field(
        description="Alert while the window of a rollup is still open. Only for values that can only rise: counts, maxima, sums of what a "
        "quality rule keeps at 0 or more."
    ),
]
"""Whether a detector fires before a window is over [S22]."""


class Expressions(Protocol):
    """What a detector's settings may ask of the view they stand in, while its plan is made. Mistakes are noted with their place."""

    features: tuple[str, ...]
    """Features of all windows of the view."""
    size_ns: int
    """Size of the rollup's windows; 0: a view of rows."""

    def duration(self, field: tuple[str, ...], text: str) -> int:
        """Nanoseconds of a duration above zero; 0 after a mistake."""

    def rule(self, name: str, when: str, expected: str | None, floor: str | None, *, early: bool) -> RulePlan | None:
        """A condition with its measure."""

    def rises(self, field: tuple[str, ...], text: str, limits: tuple[str, ...]) -> bool:
        """Whether, once a value lies above its limits, it does so until its window ends; if not, that is a mistake."""

    def number(self, field: tuple[str, ...], text: str) -> int:
        """Output of the view's program for an expression; -1 after a mistake."""

    def never_negative(self, text: str) -> bool:
        """Whether the value of an expression is 0 or more, or null, whatever the rows."""

    def background(self, name: str, over: str, features: Mapping[str, str], shown: Mapping[str, str] | None = None) -> None:
        """A window of the rows before the one judged, over columns and features; its features can be named in `number`, in quotes.

        `shown`: features of arguments that the others have too, which only explanations read: no state depends on them.
        """

    def problem(self, field: tuple[str, ...], message: str) -> None:
        """Note a mistake."""


class DetectorSpec(Settings):
    """Settings of one detector; each kind has its own subclass with a `type`."""

    type: str
    enabled: bool = Field(default=True, description="With `false`, everything is as if the detector were not in the file.")

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        raise NotImplementedError

    def training(self) -> dict[str, Any]:
        """Settings that kept state depends on [S24]."""
        return {}

    def expressions(self) -> list[str] | None:
        """Expressions over columns and features that the detector reads; None: all features of the view's windows."""
        raise NotImplementedError


def features_read(named: list[str], view: Expressions, who: str) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """The features that a detector names, by default all of the view's windows, and the outputs that they are; None after a mistake.

    who: as messages call the detector.
    """
    texts = tuple(named) or view.features
    if not texts:
        view.problem(("features",), "the view has no windows to take features from: name the `features`")
        return None
    if len(texts) > MOST_FEATURES:
        view.problem(("features",), f"{who} takes at most {MOST_FEATURES} features, not {len(texts)}")
        return None
    outputs = tuple(view.number(("features", str(i)) if named else (), text) for i, text in enumerate(texts))
    return None if -1 in outputs else (texts, outputs)


def _not_all(value: Any) -> Any:
    """`all` is the same as nothing given, also in hashes."""
    return None if value == "all" else value


class ModelSpec(DetectorSpec):
    """Settings that all trained detectors share."""

    features: list[Expression] = Field(
        default=[],
        description="What the model sees: names or expressions. Default: all features of the view's windows.",
        examples=[["price", "price / mean_price"]],
    )
    train_on: int = Field(default=2000, ge=2, le=100_000, description="How many of a key's last complete rows a model is trained on.")
    retrain_every: int = Field(default=500, ge=1, le=100_000, description="Retrain a key's model every N complete rows.")
    train_min: int = Field(default=500, ge=2, description="How many complete rows a key needs before its first model.")
    contamination: float = Field(
        default=0.01,
        gt=0,
        le=0.5,
        description="Share of rows to flag: the threshold is that upper quantile of the key's last 2,000 live scores.",
    )
    limit: float | None = Field(default=None, gt=0, description="A fixed threshold on the raw score, instead of `contamination`.")

    learn: Annotated[Literal["all", "unflagged", "once"] | None, BeforeValidator(_not_all)] = Field(
        default=None,
        description="Which rows are learned. `all` (default); `unflagged`: not those that the detector flags, so that what is odd for long "
        "does not become usual; `once`: only those of the first training, and there is no other.",
        examples=["unflagged"],
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="For `learn: unflagged`: after so many flagged rows of a key without any other between them the next ones are learned "
        "all the same, so that a new level becomes usual. Default: 500.",
        examples=[200],
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.patience is not None and self.learn != "unflagged":
            raise ValueError("`patience` belongs to `learn: unflagged`")
        if self.limit is not None and "contamination" in self.model_fields_set:
            raise ValueError("give either `contamination` or `limit`")
        if self.train_min > self.train_on:
            raise ValueError(f"`train_min` ({self.train_min}) exceeds `train_on` ({self.train_on}): no model ever sees so many")
        return self

    def settings(self) -> Mapping[str, int | str]:
        """Arguments of the model's class beyond the number of features."""
        return {}

    def expressions(self) -> list[str] | None:
        """What the model sees."""
        return self.features or None

    def training(self) -> dict[str, Any]:
        """Settings that kept state depends on [S24]."""
        learned = {} if self.learn is None else {"learn": self.learn, "patience": self._patience()}
        return {
            **self.settings(),
            "train_on": self.train_on,
            "retrain_every": self.retrain_every,
            "train_min": self.train_min,
            **learned,
        }

    def _patience(self) -> int:
        return (self.patience or _PATIENCE) if self.learn == "unflagged" else 0

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        read = features_read(self.features, view, "a model")
        if read is None:
            return None
        return ModelPlan(
            name=name,
            type=self.type,
            features=read[0],
            inputs=read[1],
            settings=tuple(sorted(self.settings().items())),
            train_on=self.train_on,
            retrain_every=self.retrain_every,
            train_min=self.train_min,
            contamination=0.0 if self.limit is not None else self.contamination,
            limit=self.limit,
            learn=self.learn or "all",
            patience=self._patience(),
        )


@cache
def detector_types() -> dict[str, type[DetectorSpec]]:
    """Every kind of detector by its `type`, out of the files `*_spec.py` of this package."""
    for module in sorted(found.name for found in walk_packages(offbeat.detectors.__path__, "offbeat.detectors.")):
        if module.endswith("_spec"):
            import_module(module)
    kinds = {str(kind.model_fields["type"].default): kind for kind in _kinds(DetectorSpec)}
    return dict(sorted(kinds.items()))


def _kinds(base: type[DetectorSpec]) -> Iterator[type[DetectorSpec]]:
    for kind in base.__subclasses__():
        # Settings of another package have no detector here: theirs go by `type: package.module:Class` or an entry point.
        if not kind.model_fields["type"].is_required() and kind.__module__.startswith("offbeat.detectors."):
            yield kind
        yield from _kinds(kind)
