"""Turns samples into Markdown: a verdict per bar, a table per scenario, and the list of all problems.

It measures nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench.bars import BARS, Bar
from bench.peers import PEERS
from bench.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.samples import Sample, Samples

OURS = "celeriac"
COLUMNS: dict[str, tuple[str, ...]] = {
    "throughput": (
        "rate",
        "cpu_us",
        "broker_cpu_us",
        "stalled_s",
        "start_s",
        "idle_load",
        "processes",
        "rss_idle",
        "pss_idle",
        "rss_after",
        "pss_after",
        "other_cores",
    ),
    "memory_after_100k": ("rss_idle", "rss_after", "rss_growth", "pss_after", "rate"),
    "events_cost": ("rate_off", "rate_on", "kept", "cpu_us_off", "cpu_us_on", "other_cores"),
    "call_rate": ("rate", "cpu_us", "confirm_rate"),
    "bulk_rate": ("rate", "cpu_us", "confirm_rate"),
    "round_trip": ("p50_ms", "p99_ms", "max_ms", "idle_load"),
    "delayed": ("rss_growth", "take_in_s", "take_in_cpu_s", "enqueue_rate"),
    "delayed_foreign": ("rss_growth", "take_in_s", "take_in_cpu_s", "enqueue_rate"),
    "long_among_short": ("normal_s", "with_long_s", "extra_s"),
    "start_up": ("start_s",),
    "import_time": ("wall_ms", "bare_ms", "net_ms"),
    "door_cost": ("plain_ms", "door_ms", "door_ratio"),
    "first_call": ("wall_ms",),
    "chain_time": ("seconds", "wire_mb"),
    "group_time": ("seconds", "wire_mb"),
    "chord_time": ("seconds", "wire_mb"),
    "chords_time": ("seconds", "wire_mb"),
    "wire_bytes": ("wire_mb", "wire_growth"),
    "group_submit": ("seconds", "rss_growth"),
    "beat_load": (
        "beat_start_s",
        "beat_start_cpu_s",
        "beat_restart_s",
        "idle_tick_ms",
        "late_p50_ms",
        "late_p99_ms",
        "late_max_ms",
        "drift_ms",
        "beat_load",
        "beat_rss",
    ),
    "async_sleep": ("seconds", "rss_idle", "rss_sleeping", "pss_sleeping", "sleeping", "spread_s"),
    "path_length": (
        "call_calls",
        "call_functions",
        "call_files",
        "call_switches",
        "work_calls",
        "work_functions",
        "work_batch_functions",
        "work_files",
        "work_switches",
    ),
}
HEADINGS = {
    "rate": "tasks/s",
    "cpu_us": "CPU µs/task",
    "rate_off": "tasks/s without",
    "rate_on": "tasks/s with",
    "kept": "share kept",
    "cpu_us_off": "CPU µs/task without",
    "cpu_us_on": "CPU µs/task with",
    "broker_cpu_us": "broker CPU µs/task",
    "stalled_s": "stalled s",
    "start_s": "start to first task s",
    "idle_load": "idle CPU (cores)",
    "processes": "processes",
    "rss_idle": "RSS idle MiB",
    "pss_idle": "PSS idle MiB",
    "rss_after": "RSS after MiB",
    "pss_after": "PSS after MiB",
    "rss_growth": "RSS growth MiB",
    "other_cores": "cores used by others",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "take_in_s": "taken in s",
    "take_in_cpu_s": "CPU s for it",
    "enqueue_rate": "enqueued/s",
    "normal_s": "short only s",
    "with_long_s": "with the long task s",
    "extra_s": "extra s",
    "wall_ms": "process wall ms",
    "plain_ms": "import celeriac, CPU ms",
    "door_ms": "import celery, CPU ms",
    "door_ratio": "ratio",
    "bare_ms": "bare interpreter ms",
    "net_ms": "difference ms",
    "beat_start_s": "start s",
    "beat_start_cpu_s": "CPU s for it",
    "beat_restart_s": "start with what is stored s",
    "idle_tick_ms": "idle tick CPU ms",
    "late_p50_ms": "late p50 ms",
    "late_p99_ms": "late p99 ms",
    "late_max_ms": "late max ms",
    "drift_ms": "later in the last minute than in the first ms",
    "beat_load": "CPU (cores)",
    "beat_rss": "RSS MiB",
    "seconds": "s",
    "wire_mb": "MB received by Redis",
    "wire_growth": "bytes, to half as many chords",
    "confirm_rate": "confirmed/s by a bare loop",
    "floor": "bare Redis round trips/s beside it",
}
PROBLEM_MARK = " ⚠"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table of bars."""

    bar: Bar
    value: float | None
    base_value: float | None
    base_ratio: float | None
    rival: str
    rival_value: float | None
    rival_ratio: float | None
    flawed: bool = False
    failed: bool = False
    floor_value: float | None = None
    floor_ratio: float | None = None

    @property
    def failures(self) -> list[str]:
        """The parts of the requirement that were missed."""
        bar = self.bar
        checks = (
            ("value", self.value, bar.limit),
            ("Celery", self.base_ratio, bar.celery),
            ("peers", self.rival_ratio, bar.peers),
        )
        return [
            name
            for name, seen, needed in checks
            if needed is not None and seen is not None and not _reaches(seen, needed, higher=bar.higher)
        ]

    @property
    def unknown(self) -> list[str]:
        """The parts that could not be judged because something was not measured."""
        bar = self.bar
        checks = (
            ("value", self.value, bar.limit),
            ("Celery", self.base_ratio, bar.celery),
            ("peers", self.rival_ratio, bar.peers),
        )
        return [name for name, seen, needed in checks if needed is not None and seen is None]

    @property
    def text(self) -> str:
        """The verdict in words."""
        if self.failed:
            return "**failed** (no run was completed)"
        if self.value is None:
            return "not measured"
        if self.flawed:
            return "**flawed** (tasks lost or repeated)"
        if self.failures:
            return f"**missed** ({', '.join(self.failures)}){self._floor}"
        if self.unknown:
            return f"open (not measured: {', '.join(self.unknown)})"
        if self.bar.aim is not None and not _reaches(self.value, self.bar.aim, higher=self.bar.higher):
            required = self.bar.limit or self.bar.celery or self.bar.peers
            return "met, below the aim" if required else "above the aim"
        return "met"

    @property
    def _floor(self) -> str:
        """What the server allows, for a bar that was missed."""
        if self.floor_value is None:
            return ""
        reached = f"{_number(self.floor_value)}{self.bar.unit}"
        return f"; a bare loop over the driver reaches {reached}, {_ratio(self.floor_ratio)} Celery"


def _reaches(seen: float, needed: float, *, higher: bool) -> bool:
    return seen >= needed if higher else seen <= needed


def ours_of(samples: Samples, bar: Bar) -> tuple[str, str] | None:
    """Celeriac's variant that a bar is about."""
    pairs = samples.variants(bar.scenario)
    return next((pair for pair in pairs if pair[0] == OURS and bar.variant in ("", pair[1])), None)


def judge(samples: Samples, bar: Bar) -> Verdict:
    """Compare Celeriac with a bar."""
    ours = ours_of(samples, bar)
    if ours is None:
        return Verdict(bar, None, None, None, "", None, None)
    base = samples.base(bar.scenario)
    rival, rival_value, rival_ratio = _strongest(samples, bar, ours)
    runs = samples.of(bar.scenario, *ours)
    return Verdict(
        bar=bar,
        value=samples.median(bar.scenario, *ours, bar.metric),
        base_value=samples.median(bar.scenario, *base, bar.metric) if base else None,
        base_ratio=samples.ratio(bar.scenario, ours, base, bar.metric) if base else None,
        rival=rival,
        rival_value=rival_value,
        rival_ratio=rival_ratio,
        failed=all(run.error for run in runs),
        flawed=any("lost" in text or "more than once" in text for run in runs for text in run.problems),
        floor_value=samples.median(bar.scenario, *ours, bar.floor) if bar.floor else None,
        floor_ratio=samples.ratio(bar.scenario, ours, base, bar.floor, bar.metric) if bar.floor and base else None,
    )


def _strongest(samples: Samples, bar: Bar, ours: tuple[str, str]) -> tuple[str, float | None, float | None]:
    """The peer against which Celeriac's ratio is worst."""
    found: list[tuple[float, str, float | None]] = []
    for pair in samples.variants(bar.scenario):
        if pair[0] in (OURS, "celery") or (bar.against and pair[0] not in bar.against):
            continue
        ratio = samples.ratio(bar.scenario, ours, pair, bar.metric)
        if ratio is not None:
            value = samples.median(bar.scenario, *pair, bar.metric)
            found.append((ratio, f"{pair[0]} {pair[1]}", value))
    if not found:
        return "", None, None
    ratio, name, value = (min if bar.higher else max)(found)
    return name, value, ratio


def bars_table(samples: Samples) -> str:
    """The table of all bars whose scenario was measured."""
    measured = set(samples.scenarios())
    rows = []
    for bar in BARS:
        if bar.scenario not in measured:
            continue
        verdict = judge(samples, bar)
        rows.append(
            (
                bar.title,
                _required(bar),
                _with_unit(verdict.value, bar.unit),
                _with_unit(verdict.base_value, bar.unit),
                _spread(samples, bar, verdict),
                f"{_with_unit(verdict.rival_value, bar.unit)} ({verdict.rival})" if verdict.rival else "-",
                _ratio(verdict.rival_ratio),
                verdict.text,
            )
        )
    heads = ("bar", "required", "Celeriac", "Celery", "to Celery", "strongest peer", "to it", "verdict")
    return _table(heads, rows)


def _spread(samples: Samples, bar: Bar, verdict: Verdict) -> str:
    """The ratio to Celery with its smallest and largest value, which tell how far to trust it."""
    base = samples.base(bar.scenario)
    ours = ours_of(samples, bar)
    if verdict.base_ratio is None or base is None or ours is None:
        return "-"
    ratios = samples.ratios(bar.scenario, ours, base, bar.metric)
    return f"{_ratio(verdict.base_ratio)} ({min(ratios):.3g} to {max(ratios):.3g})"


def _required(bar: Bar) -> str:
    sign = "≥" if bar.higher else "≤"
    unit = f" {bar.unit}" if bar.unit and not bar.unit.startswith("/") else bar.unit
    parts = []
    if bar.limit is not None:
        parts.append(f"{sign} {_number(bar.limit)}{unit}")
    if bar.celery is not None:
        parts.append(f"{sign} {bar.celery:g} x Celery")
    if bar.peers is not None:
        parts.append(f"{sign} {bar.peers:g} x {' and '.join(bar.against) or 'every peer'}")
    if bar.aim is not None:
        parts.append(f"aim {_number(bar.aim)}{unit}")
    return ", ".join(parts)


def scenario_table(samples: Samples, key: str) -> str:
    """All variants of one scenario with medians and the ratio of the first metric to Celery."""
    columns = (*COLUMNS[SCENARIOS[key].measure.__name__], "floor")
    base = samples.base(key)
    rows = []
    for pair in samples.variants(key):
        runs = samples.of(key, *pair)
        done = [run for run in runs if run.metrics]
        flaw = PROBLEM_MARK if any(run.problems or run.error for run in runs) else ""
        cells = [f"{pair[0]} {pair[1]}{flaw}", str(len(done))]
        cells += [_number(samples.median(key, *pair, column)) for column in columns]
        cells.append(_ratio(samples.ratio(key, pair, base, columns[0]) if base else None))
        cells.append(_range(list(samples.values(key, *pair, columns[0]).values())))
        rows.append(tuple(cells))
    heads = [HEADINGS.get(column, column.replace("_", ": ", 1)) for column in columns]
    return _table(("configuration", "runs", *heads, f"{heads[0]} to Celery", f"{heads[0]}, range"), rows)


def problems_list(samples: Samples) -> str:
    """Everything that went wrong in any run."""
    places: dict[str, list[str]] = {}
    for sample in samples.all:
        place = f"{sample.scenario}, {sample.peer} {sample.variant}, pass {sample.number}"
        for text in [*sample.problems, *([sample.error] if sample.error else [])]:
            places.setdefault(text.strip(), []).append(place)
    lines = []
    for text, where in places.items():
        indented = text.replace("\n", "\n      ")
        lines.append(f"* {'; '.join(where)}:\n\n      {indented}\n")
    return "\n".join(lines) or "None."


def render(samples: Samples, facts: Mapping[str, str]) -> str:
    """The whole report."""
    parts = ["# Benchmark results", "", "Method, configurations and guarantees: `bench/README.md`.", ""]
    parts += [f"* {name}: {value}" for name, value in facts.items()]
    parts += [f"* noise: {_noise(samples)}"]
    parts += ["", "## Bars", "", bars_table(samples), ""]
    parts += [f"Rows marked with{PROBLEM_MARK} had problems; see the last section.", ""]
    for key in samples.scenarios():
        parts += [f"## {SCENARIOS[key].title} (`{key}`)", "", scenario_table(samples, key), ""]
    parts += ["## Guarantees", "", _guarantees({sample.peer for sample in samples.all}), ""]
    parts += ["## Problems", "", problems_list(samples), ""]
    return "\n".join(parts)


def _noise(samples: Samples) -> str:
    """How much of the machine other programs used while workers were measured."""
    others = [sample.metrics["other_cores"] for sample in samples.all if "other_cores" in sample.metrics]
    floors = [sample.metrics["floor"] for sample in samples.all if "floor" in sample.metrics]
    parts = []
    if others:
        used = f"{median(others):.2f} cores (median; at most {max(others):.2f})"
        parts.append(f"other programs used {used} during worker runs")
    if floors:
        span = f"{min(floors):,.0f} to {max(floors):,.0f}/s (median {median(floors):,.0f})"
        parts.append(f"bare Redis round trips beside the runs: {span}")
    return "; ".join(parts) or "not observed"


def _guarantees(names: Iterable[str]) -> str:
    chosen = set(names)
    rows = [(name, peer.guarantee) for name, peer in PEERS.items() if name in chosen]
    return _table(("queue", "when a worker dies"), rows)


def line(sample: Sample) -> str:
    """One line of progress."""
    head = f"pass {sample.number}  {sample.scenario:22} {sample.peer} {sample.variant}: "
    if sample.error:
        return head + "FAILED " + sample.error.strip().splitlines()[0]
    columns = COLUMNS[SCENARIOS[sample.scenario].measure.__name__]
    text = ", ".join(f"{column} {_number(sample.metrics[column])}" for column in columns if column in sample.metrics)
    return head + text + "".join(f"  [{problem}]" for problem in sample.problems)


def _with_unit(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{_number(value)}{unit if unit.startswith('/') else ' ' * bool(unit) + unit}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} x"


def _range(values: Sequence[float]) -> str:
    return f"{_number(min(values))} to {_number(max(values))}" if values else "-"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
