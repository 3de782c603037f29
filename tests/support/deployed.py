"""The files in `deploy/` for Prometheus and Grafana."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from folders import ROOT

RULES = ROOT / "deploy" / "prometheus" / "offbeat.rules.yml"
GRAFANA = ROOT / "deploy" / "grafana" / "offbeat.json"


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads(GRAFANA.read_text())["panels"]
    return found


def named_metrics() -> set[str]:
    """Every metric of offbeat that is named in them."""
    return set(re.findall(r"offbeat_\w+", " ".join(expressions())))


def expressions() -> list[str]:
    """Every query, with that of the choice of pipelines."""
    choices = json.loads(GRAFANA.read_text())["templating"]["list"]
    asked = [choice["query"]["query"] for choice in choices if choice["type"] == "query"]
    return [*asked, *(rule["expr"] for rule in rules()), *(target["expr"] for panel in panels() for target in panel["targets"])]
