"""Whole processes, timed in turn: A B A B …, so that a machine whose speed drifts still gives a ratio that holds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Run = Callable[[], None]


def process(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)) -> Run:
    """A run of one process; an exit code that is not expected ends the benchmark."""

    def run() -> None:
        done = subprocess.run(list(argv), cwd=cwd, env=dict(env) if env else None, capture_output=True, check=False)
        if done.returncode not in codes:
            sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')[-3000:]}")

    return run


def compare(runs: Mapping[str, Run], count: int, warmup: int = 1, prepare: Run = lambda: None) -> dict[str, float]:
    """Seconds, the median of `count` runs each; prints a row per name, with the ratio to the first. `prepare` is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warmup + count):
        for name, run in runs.items():
            prepare()
            started = time.perf_counter()
            run()
            if number >= warmup:
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(f"{name:<40} {median * 1000:9.1f} ms   {low * 1000:9.1f} to {high * 1000:9.1f}   x {median / first:.2f}", flush=True)
    return medians
