"""The scripts for Google Cloud, as far as they can be checked without an account: what they would do, read from a dry run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest
from folders import ROOT

SCRIPTS = sorted((ROOT / "deploy" / "gcp").glob("*.sh"))
Words = list[str]


def _dry(script: str, **more: str) -> list[Words]:
    """The commands that a script would run."""
    env = {"PATH": os.environ["PATH"], "DRY_RUN": "1", "PROJECT": "my-project", "WHEEL": "dist/offbeat-0.1.0-py3-none-any.whl", **more}
    done = subprocess.run(["bash", ROOT / "deploy" / "gcp" / script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("gcloud ")]


def _options(words: Words) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words if word.startswith("--"))}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_and_shellcheck_take_it(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    if script.name != "settings.sh":
        assert "set -euo pipefail" in script.read_text()
    checker = shutil.which("shellcheck")
    if checker is not None:
        done = subprocess.run([checker, "-x", script], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_nothing_is_open_to_the_world() -> None:
    """Rules let in tags and ranges of our own alone; no machine has an address outside; the bucket cannot be made public."""
    commands = _dry("up.sh", STATE_GB="1024")
    rules = [_options(words) for words in commands if words[1:4] == ["compute", "firewall-rules", "create"]]
    assert len(rules) == 3
    for rule in rules:
        assert rule["--direction"] == "INGRESS"
        assert rule["--target-tags"]
        assert ("--source-tags" in rule) != ("--source-ranges" in rule)
        for text in rule.get("--source-ranges", "").split(","):
            assert not text or ip_network(text).prefixlen >= 16
    tags = {tag for rule in rules for name in ("--target-tags", "--source-tags") for tag in rule.get(name, "").split(",") if tag}
    made = [words for words in commands if words[1:4] in (["compute", "instances", "create"], ["dataproc", "clusters", "create"])]
    assert len(made) == 2
    for words in made:
        assert "--no-address" in words
        assert _options(words)["--tags"] in tags
    assert any("--public-access-prevention" in words for words in commands if words[1:4] == ["storage", "buckets", "create"])
    assert "0.0.0.0/0" not in "".join(script.read_text() for script in SCRIPTS)


def test_everything_that_is_made_is_removed() -> None:
    made = {(*words[1:3], words[4]) for words in _dry("up.sh", STATE_GB="1024") if words[3] == "create"}
    made |= {(*words[1:4], words[5]) for words in _dry("up.sh") if words[4] == "create"}
    removed = _dry("down.sh", WITH_BUCKET="1")
    gone = {(*words[1:3], words[4]) for words in removed if words[3] == "delete"}
    gone |= {(*words[1:4], words[5]) for words in removed if words[4] == "delete"}
    # An account is named by its address from then on, and secrets have a shorter command.
    accounts = {name for kind, inner, name in [key for key in made if len(key) == 3] if (kind, inner) == ("iam", "service-accounts")}
    assert accounts == {"offbeat-kafka", "offbeat-spark"}
    text = [" ".join(words) for words in removed]
    assert all(any(f"service-accounts delete {name}@" in line for line in text) for name in accounts)
    assert any("secrets delete offbeat-kafka" in line for line in text)
    assert any("storage rm --recursive gs://my-project-offbeat" in line for line in text)
    assert {key for key in made if key[0] != "iam" and "buckets" not in key and key[0] != "secrets"} <= gone
    assert not any("storage" in line for line in map(" ".join, _dry("down.sh")))


def test_brokers_ask_for_tls_and_a_password() -> None:
    text = (ROOT / "deploy" / "gcp" / "kafka-vm.sh").read_text()
    listeners = dict(re.findall(r"(\w+)://([\d.]*):\d+", next(line for line in text.splitlines() if line.startswith("listeners="))))
    kinds = dict(re.findall(r"(\w+):(\w+)", next(line for line in text.splitlines() if line.startswith("listener.security.protocol.map="))))
    assert {name for name, host in listeners.items() if host != "127.0.0.1"} == {"SECURE"}
    assert kinds["SECURE"] == "SASL_SSL"
    assert "sasl.enabled.mechanisms=SCRAM-SHA-512" in text
