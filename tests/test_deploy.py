"""Files for operating offbeat: Prometheus, Grafana, systemd. That their metrics exist is tested with a worker (tests/kafka)."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest
from command import Command, offbeat
from deployed import RULES, expressions, named_metrics, panels, rules
from folders import ROOT

__all__ = ["offbeat"]


def test_there_is_a_rule_for_what_goes_wrong() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    assert {"OffbeatDown", "OffbeatSilent", "OffbeatNoRows", "OffbeatLag", "OffbeatQuarantine"} <= set(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_panels_do_not_overlap_and_every_metric_is_shown() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)
    shown = set(re.findall(r"offbeat_\w+", " ".join(target["expr"] for panel in panels() for target in panel["targets"])))
    assert shown == named_metrics()
    assert all(text.count("(") == text.count(")") and text.count("{") == text.count("}") for text in expressions())


def test_promtool_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool here (apt-get install prometheus)")
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["offbeat-worker@.service", "offbeat-dashboard.service"])
def test_units_call_options_that_exist(offbeat: Command, name: str) -> None:
    (line,) = re.findall(r"^ExecStart=/opt/offbeat/bin/offbeat (.*)$", (ROOT / "deploy" / "systemd" / name).read_text(), re.MULTILINE)
    command, *rest = line.split()
    told = offbeat(command, "--help").out
    assert all(word in told for word in rest if word.startswith("--"))


def test_the_image_installs_extras_that_exist() -> None:
    (extras,) = re.findall(r"\.whl\)\[([\w,]+)\]", (ROOT / "deploy" / "container" / "Containerfile").read_text())
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
