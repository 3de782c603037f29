"""`offbeat episodes`: the episodes of alerts that a run wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.options import RaisedBy

EXAMPLES = """\b
Examples:
  offbeat episodes alerts.jsonl
  # What is known already, and which of it was there
  offbeat episodes alerts.parquet --mutes mutes.csv --muted
  # Longer quiet times, and a file for a spreadsheet
  offbeat episodes alerts.jsonl --set episodes.quiet=2h --out episodes.parquet
  # Of your own pipeline, from a topic
  offbeat episodes kafka://broker:9092/anomalies --pipeline my.yaml
"""


def episodes(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="A file, folder, topic or store that `offbeat run --alerts` wrote to.", show_default=False)
    ],
    pipeline: RaisedBy = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of episodes to show.")] = 20,
    key: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Only episodes with alerts of this key. Repeatable.")] = None,
    mutes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Mutes: a CSV, YAML or Parquet file in the place of the pipeline's own.")
    ] = None,
    muted: Annotated[bool, typer.Option("--muted", help="Show the muted episodes.")] = False,
    inhibited: Annotated[bool, typer.Option("--inhibited", help="Show the episodes that others inhibit.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all episodes to FILE.jsonl or FILE.parquet.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value, such as episodes.quiet=2h. Repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the episodes as JSON lines, worst first.")] = False,
) -> None:
    """Join alerts close in time to episodes, and list the worst.

    Alerts of one key close in time are one episode, or as the pipeline's `episodes` groups them. They are the same as those of the run
    that wrote the alerts. Muted and inhibited ones are counted, and listed on request.
    """
    from offbeat.cli.say import put, say
    from offbeat.cli.showing_episodes import Wanted, chosen, read_episodes
    from offbeat.cli.terminal import console, show
    from offbeat.io.report.episode_report import episode_lines, episodes_report
    from offbeat.io.write.episode_file import check_episode_file, write_episodes
    from offbeat.io.write.episode_table import episode_table
    from offbeat.io.write.jsonl_sink import json_lines

    if out is not None:
        check_episode_file(out)
    found, zone, notes = read_episodes(uri, pipeline, overrides or (), mutes)
    for note in notes:
        say(note)
    if out is not None:
        write_episodes(out, episode_table(found))
        put(f"episodes: {len(found):,} in {out}") if not as_json else None
    wanted = Wanted(limit, tuple(key or ()), muted=muted, inhibited=inhibited)
    places = chosen(found, wanted)
    if as_json:
        put(json_lines(episode_table(found, places)).decode().rstrip("\n"))
    elif wanted.others or wanted.keys:
        from offbeat.io.report.console import alert_records

        show(episode_lines(alert_records(episode_table(found, places)), title=f"{len(places):,} episodes", zone=zone), console())
    else:
        show(episodes_report(found, limit, zone=zone), console())
