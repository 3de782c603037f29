"""Each kind of mistake in a pipeline: the line, the key, what is wrong, and what was probably meant."""

from __future__ import annotations

import pytest
from told import facts, tells

from offbeat.detectors.spec import detector_types
from offbeat.errors import SpecError
from offbeat.spec.lint import lint_text
from offbeat.spec.load import load_plan, load_text

GOOD = """\
name: p
source:
  format: csv
  key: {column: symbol}
  time: {column: ts, zone: UTC}
  order: sequence
  columns:
    sequence: decimal
    price: float
    side: {type: text, headers: [Side]}
quality:
  rules: {positive: price > 0}
  unique: [time, sequence]
  lateness: 5s
views:
  tick:
    windows:
      recent: {over: 100 rows, min_rows: 10, features: {usual: mean(price)}}
    detectors:
      far: {type: rule, when: price > 2 * usual, expected: usual}
    vote: {quorum: 1}
    severity: {levels: {critical: 0.8, high: 0.6}}
  minute:
    rollup: {key: {column: side}, size: 1m, columns: {trades: count(*)}}
    detectors:
      busy: {type: rule, when: trades > 100}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_text(text, "p.yaml")
    assert caught.value.exit_code == 2
    assert all("\n" not in problem and "pydantic" not in problem for problem in caught.value.problems)
    return caught.value.problems


def test_the_good_one_is_good() -> None:
    assert lint_text(GOOD).problems == []
    assert lint_text(GOOD).warnings == []


# The messages are given whole, as one reads them; held to are their places, names, spellings and numbers.
CASES = [
    # structure
    ("name: p", "nam: p", "p.yaml:1: missing key 'name' | p.yaml:1: nam: unknown key 'nam'; did you mean 'name'?"),
    ("name: p", "name: 5", "p.yaml:1: name: expected text, got 5"),
    ("name: p", "name: my-p", "p.yaml:1: name: 'my-p' is not a name: use letters, digits and _ only, and do not start with a digit"),
    ("format: csv", "format: cvs", "p.yaml:3: source.format: 'cvs' is not valid; did you mean 'csv'?"),
    ("format: csv", "header: no", "p.yaml:3: source.header: expected true or false, got 'no'"),
    ("format: csv", "header: false", "p.yaml:2: source: a source with `header: false` needs `names`"),
    ("format: csv", "names: [a]", "p.yaml:2: source: `names` is for files without a header: add `header: false`"),
    ("format: csv", "separator: ', '", "p.yaml:3: source.separator: the separator must be one ASCII character, not ', '"),
    ("format: csv", "separator: ;;", "p.yaml:3: source.separator: the separator must be one ASCII character, not ';;'"),
    ("  lateness: 5s", "  latenes: 5s", "p.yaml:14: quality.latenes: unknown key 'latenes'; did you mean 'lateness'?"),
    ("  lateness: 5s", "  lateness: 5", "p.yaml:14: quality.lateness: expected a length with its unit, such as 5s or 5m, got 5"),
    ("  lateness: 5s", "  lateness: -5s", "p.yaml:14: quality.lateness: a duration cannot be negative: '-5s'"),
    ("  lateness: 5s", "  max_jump: 0s", "p.yaml:14: quality.max_jump: the duration must be above zero, not '0s'"),
    ("  lateness: 5s", "  dedup_rows: 0", "p.yaml:14: quality.dedup_rows: must be at least 1, not 0"),
    ("  lateness: 5s", "  dedup_rows: many", "p.yaml:14: quality.dedup_rows: expected a whole number, got 'many'"),
    ("  lateness: 5s", "  dedup_rows: 1.5", "p.yaml:14: quality.dedup_rows: expected a whole number, got 1.5"),
    ("  lateness: 5s", "  unique: [price]", "p.yaml:14: quality.unique: key 'unique' appears twice; the first is on line 13"),
    ("  lateness: 5s", "  calendar: XBOMB", "p.yaml:14: quality.calendar: unknown calendar 'XBOMB'; did you mean 'XBOM'?"),
    (
        "  lateness: 5s",
        "  not_before: yesterday",
        "p.yaml:14: quality.not_before: 'yesterday' is not a date or time; write 2000-01-01 or 2000-01-01T09:15:00+05:30",
    ),
    (
        "  lateness: 5s",
        "  not_after: 1999-12-31",
        "p.yaml:14: quality.not_after: `not_after` lies before `not_before` (2000-01-01): no row can pass",
    ),
    ("zone: UTC", "zone: Asia/Kolkatta", "p.yaml:5: source.time.zone: unknown zone 'Asia/Kolkatta'; did you mean 'Asia/Kolkata'?"),
    ("zone: UTC", "zone: ../../etc/passwd", "p.yaml:5: source.time.zone: unknown zone '../../etc/passwd'"),
    (
        "zone: UTC",
        "zone: Mars/Phobos",
        "p.yaml:5: source.time.zone: unknown zone 'Mars/Phobos'; zones have names such as Africa/Algiers or UTC",
    ),
    ("zone: UTC", "format: iso", "p.yaml:5: source.time.format: unknown time format 'iso'; valid: auto, s, ms, us, ns, or a pattern"),
    ("key: {column: symbol}", "key: {file: '^[^_]+'}", "p.yaml:4: source.key.file: the pattern needs a group around the key"),
    ("key: {column: symbol}", "key: {file: '(a'}", "p.yaml:4: source.key.file: not a regular expression: missing )"),
    ("key: {column: symbol}", "key: {}", "p.yaml:4: source.key: give `column`, `file` or both"),
    ("key: {column: symbol}", "key: {file: '(a)', headers: [b]}", "p.yaml:4: source.key: `headers` belongs to a `column`"),
    ("price: float", "price: flaot", "p.yaml:9: source.columns.price.type: 'flaot' is not valid; did you mean 'float'?"),
    (
        "price: float",
        "price: {type: float, scale: 2}",
        "p.yaml:9: source.columns.price: `scale` belongs to a column of type decimal, not float",
    ),
    ("price: float", "price: {type: decimal, scale: 19}", "p.yaml:9: source.columns.price.scale: must be at most 18, not 19"),
    (
        "price: float",
        "price: {type: text, allow_nan: true}",
        "p.yaml:9: source.columns.price: `allow_nan` belongs to a column of type float",
    ),
    ("price: float", "price:", "p.yaml:9: source.columns.price: expected a mapping (key: value), got nothing"),
    ("order: sequence", "order: sequenc", "p.yaml:6: source.order: unknown column 'sequenc'; did you mean 'sequence'?"),
    ("order: sequence", "order: side", "p.yaml:6: source.order: column 'side' must be of type decimal to order rows, not text"),
    ("    price: float", "    price: float\n    time: text", "p.yaml:10: source.columns.time: 'time' is reserved for the event's time"),
    ("    price: float", "    price: float\n    end: text", "p.yaml:10: source.columns.end: 'end' is a word of the expression language"),
    ("[time, sequence]", "[tim, sequence]", "p.yaml:13: quality.unique.0: unknown column 'tim'; did you mean 'time'?"),
    ("[time, sequence]", "[ts, sequence]", "p.yaml:13: quality.unique.0: the event time is called `time` here, not 'ts'"),
    (
        "[time, sequence]",
        "[time, symbol]",
        "p.yaml:13: quality.unique.1: 'symbol' is the key, which is always part of `unique`: leave it out",
    ),
    ("[time, sequence]", "[time, time]", "p.yaml:13: quality.unique.1: 'time' appears twice"),
    # rules of quality
    ("price > 0}", "prize > 0}", "p.yaml:12: quality.rules.positive: unknown column 'prize'; did you mean 'price'?"),
    ("price > 0}", "usual > 0}", "p.yaml:12: quality.rules.positive: unknown column 'usual'"),
    ("positive:", "future:", "p.yaml:12: quality.rules.future: 'future' is a reason that the ledger itself uses"),
    ("price > 0}", "price + 1}", "p.yaml:12: quality.rules.positive: a condition is needed, but `price + 1` is a number"),
    ("price > 0}", "[1]}", "p.yaml:12: quality.rules.positive: expected text, got a list"),
    # windows and features
    ("100 rows", "10", "p.yaml:18: views.tick.windows.recent.over: expected a length with its unit, such as 10s or 10m, got 10"),
    ("100 rows", "0 rows", "p.yaml:18: views.tick.windows.recent.over: a window needs at least one row, not '0 rows'"),
    ("100 rows", "-1 rows", "p.yaml:18: views.tick.windows.recent.over: a window needs at least one row, not '-1 rows'"),
    ("100 rows", "-60s", "p.yaml:18: views.tick.windows.recent.over: a duration cannot be negative: '-60s'"),
    ("100 rows", "0s", "p.yaml:18: views.tick.windows.recent.over: the duration must be above zero, not '0s'"),
    (
        "100 rows",
        "5 minutes",
        "p.yaml:18: views.tick.windows.recent.over: '5 minutes' is neither a duration such as 60s nor a number of rows",
    ),
    ("100 rows", "9 rows", "p.yaml:18: views.tick.windows.recent: `min_rows: 10` can never be reached: the window holds 9 rows"),
    ("min_rows: 10", "min_rows: 0", "p.yaml:18: views.tick.windows.recent.min_rows: must be at least 1, not 0"),
    ("mean(price)", "mean(prize)", "p.yaml:18: views.tick.windows.recent.features.usual: unknown column 'prize'; did you mean 'price'?"),
    ("mean(price)", "mena(price)", "p.yaml:18: views.tick.windows.recent.features.usual: unknown function 'mena'; did you mean 'mean'?"),
    (
        "{usual: mean(price)}",
        "{usual: mean(price), price: last(price)}",
        "p.yaml:18: views.tick.windows.recent.features.price: feature 'price' has the same name as a column; choose another",
    ),
    (
        "{usual: mean(price)}}",
        "{usual: mean(price)}}\n      more: {over: 1s, features: {usual: max(price)}}",
        "p.yaml:19: views.tick.windows.more.features.usual: feature 'usual' already exists in window 'recent'",
    ),
    (
        "{usual: mean(price)}",
        "{usual: coalesce(quantile(price, 0.9), 0)}",
        "p.yaml:18: views.tick.windows.recent.features.usual: in { } a comma ends the value: put it in quotes, "
        "usual: 'coalesce(quantile(price, 0.9), 0)'",
    ),
    (
        "when: price >",
        "when: greatest(price, 1) >",
        "p.yaml:20: views.tick.detectors.far.when: in { } a comma ends the value: put it in quotes, when: 'greatest(price, 1) > 2 * usual'",
    ),
    ("      recent:", "      vote:", "p.yaml:18: views.tick.windows.vote: a window cannot be called 'vote'"),
    # detectors, vote, severity
    ("type: rule, when: price", "type: rul, when: price", "p.yaml:20: views.tick.detectors.far: unknown type 'rul'; did you mean 'rule'?"),
    (
        "type: rule, when: price",
        "when: price",
        f"p.yaml:20: views.tick.detectors.far: missing key 'type'; valid here: {', '.join(detector_types())}",
    ),
    ("when: price >", "wehn: price >", "p.yaml:20: views.tick.detectors.far: missing key 'when'"),
    ("2 * usual,", "2 * usaul,", "p.yaml:20: views.tick.detectors.far.when: unknown column 'usaul'; did you mean 'usual'?"),
    (
        "expected: usual",
        "expected: price > 1",
        "p.yaml:20: views.tick.detectors.far.expected: a number is needed, but `price > 1` is a truth value",
    ),
    ("expected: usual", "expectd: usual", "p.yaml:20: views.tick.detectors.far.expectd: unknown key 'expectd'; did you mean 'expected'?"),
    ("      far:", "      recent:", "p.yaml:20: views.tick.detectors.recent: detector 'recent' has the same name as a window"),
    ("vote: {quorum: 1}", "vote: {quorum: 2}", "p.yaml:21: views.tick.vote.quorum: 2 votes can never be reached with 1 detector(s)"),
    ("high: 0.6", "high: 0.9", "p.yaml:22: views.tick.severity: levels must be descending, the greatest first: critical 0.8, high 0.9"),
    ("high: 0.6", "high: 6", "p.yaml:22: views.tick.severity: levels must be at least 0 and below 1: severity never exceeds 1"),
    ("high: 0.6", "low: 0.6", "p.yaml:22: views.tick.severity: `low` is the level below all others"),
    ("  tick:", "  source:", "p.yaml:16: views.source: a view cannot be called 'source'"),
    # rollups
    (
        "{column: side}",
        "{column: price}",
        "p.yaml:24: views.minute.rollup.key.column: column 'price' must be of type text to be a key, not float",
    ),
    ("{column: side}", "{column: sid}", "p.yaml:24: views.minute.rollup.key.column: unknown column 'sid'; did you mean 'side'?"),
    (
        "{column: side}",
        "{column: side, constant: x}",
        "p.yaml:24: views.minute.rollup.key: give exactly one of `column`, `constant` and `mapping`",
    ),
    ("size: 1m", "sise: 1m", "p.yaml:24: views.minute.rollup: missing key 'size'"),
    (
        "count(*)",
        "sum(price)",
        "p.yaml:24: views.minute.rollup.columns.trades: sum of float column 'price' would depend on the order of rows",
    ),
    ("trades > 100", "price > 100", "p.yaml:26: views.minute.detectors.busy.when: unknown column 'price'; valid here: trades"),
    (
        "{type: rule, when: price > 2 * usual, expected: usual}",
        "{type: band, value: price, width: .inf}",
        "p.yaml:20: views.tick.detectors.far.width: expected a finite number, got inf",
    ),
    (
        "{type: rule, when: price > 2 * usual, expected: usual}",
        "{type: zscore, limits: {price: .nan}}",
        "p.yaml:20: views.tick.detectors.far.limits.price: expected a finite number, got nan",
    ),
    (
        "{type: rule, when: price > 2 * usual, expected: usual}",
        "{type: isolation_forest, retrain_every: 100001}",
        "p.yaml:20: views.tick.detectors.far.retrain_every: must be at most 100000, not 100001",
    ),
    (
        "{type: rule, when: price > 2 * usual, expected: usual}",
        "{type: isolation_forest, features: [" + ", ".join(f"price * {i}" for i in range(256)) + "]}",
        "p.yaml:20: views.tick.detectors.far.features: a model takes at most 255 features, not 256",
    ),
    # votes by surprise
    (
        "vote: {quorum: 1}",
        "vote: {by: surprise, quorum: 2}",
        "p.yaml:21: views.tick.vote: `quorum` counts votes; with `by: surprise` nothing is counted: leave it out",
    ),
    ("vote: {quorum: 1}", "vote: {budget: 1 per day}", "p.yaml:21: views.tick.vote: `budget` belongs to `by: surprise`"),
    (
        "vote: {quorum: 1}",
        "vote: {by: surprise, budget: 1 a day}",
        "p.yaml:21: views.tick.vote.budget: a budget is written `1 per day`, `5 per week` or `10 per 10000 rows`, not '1 a day'",
    ),
    (
        "busy: {type: rule, when: trades > 100}",
        "busy: {type: rule, when: trades > 100, early: true}\n    vote: {by: surprise}",
        "p.yaml:26: views.minute.detectors.busy.early: how surprising a window is, is known when it is over: leave `early` out",
    ),
    (
        "busy: {type: rule, when: trades > 100}",
        "busy: {type: absence}\n    vote: {by: surprise}",
        "p.yaml:26: views.minute.detectors.busy: an absence has no place in a vote `by: surprise`: put it into another view",
    ),
    # weighted means, seasons and the clock in views of rows
    (
        "usual: mean(price)",
        "usual: 'ewma(price, 5)'",
        "p.yaml:18: views.tick.windows.recent.features.usual: ewma() reads a key's whole past: it belongs into a window `over: all`",
    ),
    (
        "{over: 100 rows, min_rows: 10, features: {usual: mean(price)}}",
        "{over: all, features: {usual: 'ewma(price, 0)'}}",
        "p.yaml:18: views.tick.windows.recent.features.usual: the second argument of ewma() is a whole number from 1 to 1,000,000, not `0`",
    ),
    (
        "{over: 100 rows, min_rows: 10, features: {usual: mean(price)}}",
        "{over: all, features: {usual: 'ar(price, 65)'}}",
        "p.yaml:18: views.tick.windows.recent.features.usual: the second argument of ar() is a whole number from 1 to 64, not `65`",
    ),
    (
        "{over: 100 rows, min_rows: 10, features: {usual: mean(price)}}",
        "{over: all, features: {usual: 'ewma(price, 5) / count(*)'}}",
        "p.yaml:18: views.tick.windows.recent: ar(), ewma(), ewstd(), still() need a window of their own: put others into a second one",
    ),
    (
        "{over: 100 rows, min_rows: 10, features: {usual: mean(price)}}",
        "{over: all, features: {usual: count(diff(price))}}",
        "p.yaml:18: views.tick.windows.recent: in a window `over: all` diff() and gap() are for ar(), ewma(), ewstd(), still()",
    ),
    (
        "{over: 100 rows, min_rows: 10,",
        "{over: 100 rows, min_rows: 10, season: 1d,",
        "p.yaml:18: views.tick.windows.recent.season: a `season` of rows needs a `slot`, such as `slot: 1h` for the hours of a day",
    ),
    (
        "{over: 100 rows, min_rows: 10,",
        "{over: 100 rows, min_rows: 10, slot: 1h,",
        "p.yaml:18: views.tick.windows.recent: `slot` belongs to a `season`",
    ),
    (
        "{over: 100 rows, min_rows: 10,",
        "{over: 100 rows, min_rows: 10, season: 1d, slot: 7h,",
        "p.yaml:18: views.tick.windows.recent.slot: `season` must be a multiple of `slot`, such as 1h for a season of 1d",
    ),
    (
        "{over: 100 rows, min_rows: 10,",
        "{over: 100 rows, min_rows: 10, season: 7d, slot: 1m,",
        "p.yaml:18: views.tick.windows.recent.slot: a season has at most 2,016 places, not 10,080",
    ),
    (
        "when: trades > 100",
        "when: trades > 100 AND hour() = 3",
        "p.yaml:26: views.minute.detectors.busy.when: hour() is only for views of rows and for columns of a rollup, such as `max(hour())`",
    ),
    (
        "positive: price > 0",
        "positive: weekday() < 6",
        "p.yaml:12: quality.rules.positive: weekday() is only for views of rows and for columns of a rollup, such as `max(weekday())`",
    ),
]


@pytest.mark.parametrize(("before", "after", "said"), CASES, ids=[after.strip() for _, after, _ in CASES])
def test_mistake(before: str, after: str, said: str) -> None:
    assert before in GOOD
    found = problems(GOOD.replace(before, after, 1))
    for expected in said.split(" | "):
        assert any(tells(problem, expected) for problem in found), found


def test_a_view_of_windows_has_less_than_64_detectors() -> None:
    def many(count: int) -> str:
        rules = "\n".join(f"      busy_{i}: {{type: rule, when: trades > {i}}}" for i in range(1, count + 1))
        return GOOD.replace("      busy: {type: rule, when: trades > 100}", rules)

    assert len(load_text(many(63), "p.yaml").plan.views[1].detectors) == 63
    (problem,) = problems(many(64))
    assert tells(problem, "p.yaml:25: views.minute.detectors: a view of windows takes at most 63 detectors, not 64")


def test_all_mistakes_are_told_in_the_order_of_the_file() -> None:
    text = GOOD.replace("format: csv", "fromat: csv").replace("price > 0", "prize > 0").replace("2 * usual,", "2 * usaul,")
    assert problems(text) == [
        "p.yaml:3: source.fromat: unknown key 'fromat'; did you mean 'format'?",
        "p.yaml:12: quality.rules.positive: unknown column 'prize'; did you mean 'price'?",
        "p.yaml:20: views.tick.detectors.far.when: unknown column 'usaul'; did you mean 'usual'?",
    ]


def test_a_wrong_feature_is_not_told_again_where_it_is_used() -> None:
    assert len(problems(GOOD.replace("mean(price)", "mean(prize)"))) == 1


def test_lines_of_block_style() -> None:
    text = GOOD.replace(
        "{type: rule, when: price > 2 * usual, expected: usual}", "\n        type: rule\n        when: >\n          pric > 1"
    )
    assert problems(text) == ["p.yaml:22: views.tick.detectors.far.when: unknown column 'pric'; did you mean 'price'?"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.yaml:1: a pipeline is a mapping with name, source and views"),
        ("- 1", "p.yaml:1: a pipeline is a mapping with name, source and views"),
        ("name: p\nsource: {a: [}", "p.yaml:2: not valid YAML: "),
        ("a: 1\n---\nb: 1", "p.yaml:2: not valid YAML: "),
        ("a: \0", "p.yaml:1: not valid YAML: "),
        ("name: !!python/object/apply:os.getcwd []", "p.yaml:1: name: "),
        ("name: !!timestamp 2020-01-01", "p.yaml:1: name: the YAML tag timestamp is not allowed here"),
        ("name: &a [*a]", "p.yaml:1: name.0: an alias inside its own anchor"),
        ("? [a]\n: 1", "p.yaml:1: a key must be a plain word"),
        ("a: " + "[" * 5000, "p.yaml:1: not valid YAML"),
    ],
)
def test_not_a_pipeline_at_all(text: str, said: str) -> None:
    assert tells(problems(text)[0], said)


def test_without_a_file_there_are_keys_but_no_lines() -> None:
    with pytest.raises(SpecError) as caught:
        load_plan(
            {
                "name": "p",
                "source": {"key": "k", "time": "t", "columns": {"x": "float"}},
                "views": {"v": {"detectors": {"d": {"type": "rule", "when": "y > 1"}}}},
            }
        )
    assert caught.value.problems == ["views.v.detectors.d.when: unknown column 'y'; valid here: x, key"]


def test_headerless_names_must_hold_what_is_read() -> None:
    text = GOOD.replace("format: csv", "header: false\n  names: [symbol, ts, sequence, Side, Side]")
    assert list(map(facts, problems(text))) == [
        facts("p.yaml:4: source.names.4: 'Side' appears twice in `names`"),
        facts("p.yaml:10: source.columns.price: 'price' is not in `names`; valid here: symbol, ts, sequence, Side"),
    ]


WARNINGS = [
    ("price: float", "price: float\n    more: float", "p.yaml:10: source.columns.more: column 'more' is read, but nothing uses it"),
    (
        "{usual: mean(price)}",
        "{usual: mean(price), top: max(price)}",
        "p.yaml:18: views.tick.windows.recent.features.top: no detector uses feature 'top'",
    ),
    ("lateness: 5s", "calendar: XBOM", "p.yaml:14: quality.calendar: gaps are reported only with a `cadence`"),
    ("trades > 100", "trades = 100", "p.yaml:26: views.minute.detectors.busy.when: no comparison (>, >=, < or <=) at the top level"),
    ("trades > 100", "trades - 5 < -2", "p.yaml:26: views.minute.detectors.busy.when: the limit is not above 0"),
]


@pytest.mark.parametrize(("before", "after", "said"), WARNINGS, ids=[after.strip() for _, after, _ in WARNINGS])
def test_warning(before: str, after: str, said: str) -> None:
    found = lint_text(GOOD.replace(before, after, 1), "p.yaml")
    assert found.problems == []
    assert found.plan is not None
    assert len(found.warnings) == 1
    assert tells(found.warnings[0], said)
