"""Times, peaks and facts about the machine, measured the same way by every benchmark."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

Job = Callable[[], object]


def seconds(job: Job) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def alternate(jobs: Mapping[str, Job], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each job over `rounds` rounds in which the jobs take turns, so that a slow spell of the machine meets all of them.

    Every job runs `warm_up` times before, unmeasured: files get into the page cache, code gets compiled.
    """
    for _ in range(warm_up):
        for job in jobs.values():
            job()
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].append(seconds(job))
    return times


def table(times: Mapping[str, Sequence[float]], base: str, rows: int) -> str:
    """Markdown: median, spread, rows a second and ratio to `base`."""
    lines = ["| | median s | least … most s | rows/s | ratio |", "|---|---:|---:|---:|---:|"]
    unit = median(times[base])
    for name, all_of_it in times.items():
        middle = median(all_of_it)
        spread = f"{min(all_of_it):.2f} … {max(all_of_it):.2f}"
        lines.append(f"| {name} | {middle:.2f} | {spread} | {rows / middle:,.0f} | {middle / unit:.2f} |")
    return "\n".join(lines)


def own_peak_mib() -> float:
    """Greatest resident memory of this process so far, MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not report VmHWM")


def alone(module: str, *arguments: str) -> str:
    """Standard output of `python -m module arguments` in a process of its own; used for peaks and start times."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def machine() -> str:
    """CPU model, cores and memory in words."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def versions(*packages: str) -> str:
    """Versions of Python and of the packages."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} absent")
    return ", ".join(found)
