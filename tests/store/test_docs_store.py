"""The page on stores says what holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from fenced import blocks
from folders import DOCS

import offbeat as package
from offbeat.evaluate.generate_bars import generate_bars
from offbeat.store.notify.config import FIELDS, read_config
from offbeat.store.store import Store

PAGE = DOCS / "store.md"


def test_the_example_of_python_and_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generate_bars(tmp_path / "bars", symbols=1, days=3, seed=4)
    package.run("bars", "bars", alerts="sqlite:///alerts.db")
    (code,) = blocks(PAGE, "python")
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102
    assert names["new"] == ()
    with Store.open("sqlite:///alerts.db") as store:
        assert store.count() > 0
    (text,) = blocks(PAGE, "yaml")
    Path("notify.yaml").write_text(text)
    assert list(read_config(Path("notify.yaml")).receivers) == ["desk", "oncall"]
    for field in set(FIELDS) - {"alerts", "event"}:
        assert f"`{field}`" in PAGE.read_text()
