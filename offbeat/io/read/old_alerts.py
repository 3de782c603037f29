"""Alerts of the record's first form, in which `detectors` told no types, windows and raw scores: brought into today's form.

What such a record does not tell stays null. Trained detectors are those that `model_version` names: their `observed` was the raw score.
"""

from __future__ import annotations

import re

import polars as pl

_RETRACTED = {"withdrawn": "retracted"}


def has_old(frame: pl.DataFrame) -> bool:
    """Whether some entries of `detectors` are of the first form: it called `odd` what is `out_of_range`."""
    kind = frame.schema.get("detectors")
    inner = kind.inner if isinstance(kind, pl.List) else None
    return isinstance(inner, pl.Struct) and any(field.name == "odd" for field in inner.fields)


def renewed(frame: pl.DataFrame) -> pl.DataFrame:
    """The alerts in today's form, those of the first form among them; fields that no entry has are left out."""
    entries = frame.select(pl.int_range(pl.len()).alias("alert"), pl.col("model_version").cast(pl.String).alias("trainings"), "detectors")
    entries = entries.explode("detectors").unnest("detectors").with_columns(pl.col("name").cast(pl.String))
    training = pl.lit(None, pl.Int64)
    for name in entries["name"].drop_nulls().unique().to_list():
        found = pl.col("trainings").str.extract(rf"(?:^|, ){re.escape(name)} (\d+)(?:,|$)").cast(pl.Int64)
        training = pl.when(pl.col("name") == name).then(found).otherwise(training)
    old = pl.col("type").is_null() if "type" in entries.columns else pl.lit(value=True)
    trained, observed = old & training.is_not_null(), pl.col("observed").cast(pl.Float64)
    known = {name: pl.col(name) if name in entries.columns else pl.lit(None) for name in ("model_version", "raw", "out_of_range")}
    entries = entries.with_columns(
        pl.when(old).then(training).otherwise(known["model_version"]).alias("model_version"),
        pl.when(trained).then(observed).otherwise(known["raw"]).alias("raw"),
        pl.when(~trained).then(observed).alias("observed"),
        pl.coalesce(known["out_of_range"], "odd").alias("out_of_range"),
    )
    inside = [name for name in entries.columns if name not in {"alert", "trainings", "odd"}]
    lists = entries.group_by("alert", maintain_order=True).agg(pl.struct(inside).alias("detectors"))
    return frame.with_columns(lists["detectors"], pl.col("status").cast(pl.String).replace(_RETRACTED))
