"""Large inputs through our own code: 100 000 findings, 1 000 waivers, 20 000 tags, a context of 50 000 files. python benchmarks/large.py"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from pipeline.core.dockerignore import Ignore
from pipeline.core.finding import Finding, Severity, Threshold, Verdict, judge
from pipeline.core.tags import moving
from pipeline.core.version import Version, highest, parse
from pipeline.core.waiver import Waiver
from pipeline.reports import document, junit, table
from pipeline.tools import files

FINDINGS = 100_000
TAGS = 20_000
FILES = 50_000


def timed(name: str, call: Callable[[], object]) -> object:
    started = time.perf_counter()
    result = call()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<48} {time.perf_counter() - started:8.3f} s   peak so far {peak:6.0f} MB", flush=True)
    return result


def main() -> None:
    severities = list(Severity)
    findings = [
        Finding(
            f"CVE-2026-{number}",
            "an overflow in a parser",
            severities[number % 5],
            "vulnerability",
            where="debian 12",
            package=f"package-{number % 900}",
            installed="1.0",
            fixed="1.1" if number % 3 else "",
        )
        for number in range(FINDINGS)
    ]
    waivers = [Waiver(f"CVE-2026-{number * 7}", "not reachable", "platform", date(2999, 1, 1)) for number in range(1000)]
    threshold = Threshold(frozenset({Severity.HIGH, Severity.CRITICAL}))
    judged = timed(f"judge {FINDINGS} findings, 1000 waivers", lambda: judge(findings, threshold, waivers, date(2026, 1, 1)))
    assert isinstance(judged, tuple)
    verdict = Verdict("scan", "sha256:0", judged)
    timed("terminal table", lambda: table.lines(verdict))
    timed("JUnit", lambda: junit.render([verdict]))
    timed("JSON", lambda: document.render(verdict))
    tags = [f"v{number // 400}.{number // 20 % 20}.{number % 20}" for number in range(TAGS)]
    timed(f"highest of {TAGS} git tags", lambda: highest(tags, None))
    version = parse("30.1.1")
    assert isinstance(version, Version)
    published = [tag[1:] for tag in tags]
    timed(f"moving tags among {TAGS} published", lambda: moving(version, ["{major}.{minor}", "{major}", "latest"], published))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FILES):
            path = Path(folder, str(number % 250), str(number))
            path.parent.mkdir(exist_ok=True)
            path.touch()
        ignore = Ignore.parse(b"**/*.pyc\nnode_modules\n.git\n!keep\n")
        timed(f"walk a context of {FILES} files", lambda: files.sent(Path(folder), ignore))


if __name__ == "__main__":
    main()
