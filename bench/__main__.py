"""The command line of the benchmark: ``python -m bench run | quick | report | setup | list``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import report, servers, venvs
from bench.harness import BenchError
from bench.job import Job
from bench.peers import PEERS
from bench.samples import Sample, Samples
from bench.scenarios import BULK_CALLS, CALLS, SCENARIOS, variants_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
QUICK_SCENARIOS = ("redis-off", "redis-on", "delay-redis", "bulk-redis", "roundtrip-redis")
QUICK_SCALE = 0.3  # for a first impression; see the README on short runs


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        return int(options.command(options))
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="measure and write bench/RESULTS.md")
    run.add_argument("--only", type=_names(SCENARIOS), default=list(SCENARIOS), help="scenarios, by commas")
    run.add_argument("--peers", type=_names(PEERS), default=list(PEERS), help="queues, by commas")
    run.add_argument("--passes", type=int, default=3, help="interleaved passes (default: 3)")
    run.add_argument("--scale", type=float, default=1.0, help="factor on the numbers of tasks (default: 1)")
    run.add_argument("--extra", action="store_true", help="also the configurations that are not the fastest")
    run.add_argument("--output", type=Path, help="where to write the report")
    run.set_defaults(command=_run)
    quick = commands.add_parser("quick", help="Celeriac against Celery on Redis in under a minute")
    quick.add_argument("--passes", type=int, default=1, help="interleaved passes (default: 1)")
    quick.set_defaults(command=_quick)
    again = commands.add_parser("report", help="write the report again from raw results")
    again.add_argument("files", type=Path, nargs="+", help="files of bench/results/")
    again.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    again.set_defaults(command=_report)
    setup = commands.add_parser("setup", help="make the environments of the peers")
    setup.add_argument("--peers", type=_names(PEERS), default=list(PEERS), help="queues, by commas")
    setup.set_defaults(command=_setup)
    listing = commands.add_parser("list", help="show scenarios and configurations")
    listing.set_defaults(command=_list)
    return parser


def _names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return parse


def _run(options: argparse.Namespace) -> int:
    whole = len(options.only) == len(SCENARIOS) and len(options.peers) == len(PEERS) and options.scale == 1
    stem = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    samples, facts = measure(
        options.only,
        options.peers,
        passes=options.passes,
        scale=options.scale,
        extra=options.extra,
        raw=RESULTS / f"{stem}.json",
    )
    output = options.output or (HERE / "RESULTS.md" if whole else RESULTS / f"{stem}.md")
    output.write_text(report.render(samples, facts))
    print(f"\n{report.bars_table(samples)}\n\nreport: {output}")
    return 0


def _quick(options: argparse.Namespace) -> int:
    samples, _ = measure(
        list(QUICK_SCENARIOS),
        ["celery", "celeriac"],
        passes=options.passes,
        scale=QUICK_SCALE,
        extra=False,
        raw=RESULTS / "quick.json",
        one_turn=True,
    )
    print(f"\n{report.bars_table(samples)}\n\nProblems: {report.problems_list(samples)}")
    return 0


def _report(options: argparse.Namespace) -> int:
    samples: list[Sample] = []
    facts: dict[str, str] = {}
    for path in options.files:
        raw = json.loads(path.read_text())
        facts |= raw["facts"]
        samples += [Sample(**fields) for fields in raw["samples"]]
    options.output.write_text(report.render(Samples(samples), facts))
    print(f"report: {options.output}")
    return 0


def _setup(options: argparse.Namespace) -> int:
    failed = _environments(options.peers)
    for peer, reason in failed.items():
        print(f"{peer}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _list(options: argparse.Namespace) -> int:
    for scenario in SCENARIOS.values():
        print(f"{scenario.key}: {scenario.title}")
        for peer in PEERS.values():
            for variant in variants_of(scenario, peer, extra=True):
                print(f"    {peer.name} {variant.name}{' (extra)' if variant.extra else ''}")
    return 0


def _environments(names: list[str]) -> dict[str, str]:
    """Make the environments; returns why some could not be made."""
    failed = {}
    for name in names:
        try:
            venvs.bin_dir(name)
        except BenchError as exc:
            failed[name] = str(exc)
    return failed


def measure(
    keys: list[str], names: list[str], *, passes: int, scale: float, extra: bool, raw: Path, one_turn: bool = False
) -> tuple[Samples, dict[str, str]]:
    """Make all measurements, interleaved: pass 1 of everything, pass 2 of everything, and so on.

    Short scenarios take several turns per pass; each turn counts as a pass of its own for the ratios.

    The raw file is written again after every sample, so that an interrupted run is not lost.
    """
    needed = [*names, "celery"] if "delayed-redis-foreign" in keys else names
    failed = _environments(needed)
    facts = _facts(names, failed, passes, scale)
    started = time.monotonic()
    samples: list[Sample] = []
    for number in range(1, passes + 1):
        for key in keys:
            scenario = SCENARIOS[key]
            if scenario.once and number > 1:
                continue
            taking_part = [name for name in names if number == 1 or not scenario.others_once or name == report.OURS]
            variants = [
                (name, variant.name)
                for name in taking_part
                for variant in variants_of(scenario, PEERS[name], extra=extra)
            ]
            turns = 1 if one_turn else scenario.rounds
            first = (number - 1) * turns + 1
            for turn in range(first, first + turns):
                for name, variant in variants:
                    if name in failed:
                        sample = Sample(key, name, variant, turn, error=failed[name])
                    else:
                        sample = _measure_one(key, name, variant, turn, scale)
                    samples.append(sample)
                    facts["duration"] = f"{(time.monotonic() - started) / 60:.0f} minutes"
                    _save(samples, facts, raw)
                    print(report.line(sample), flush=True)
    return Samples(samples), facts


def _measure_one(key: str, name: str, variant_name: str, number: int, scale: float) -> Sample:
    scenario, peer = SCENARIOS[key], PEERS[name]
    variant = next(found for found in variants_of(scenario, peer, extra=True) if found.name == variant_name)
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as directory:
        job = Job(scenario, peer, variant, Path(directory), scale, PEERS)
        try:
            floor = servers.floor_rate()
            metrics, problems = scenario.measure(job)
            metrics["floor"] = (floor + servers.floor_rate()) / 2
        except (BenchError, OSError, ValueError, LookupError, subprocess.SubprocessError) as exc:
            log = Path(directory) / "worker.log"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""
            text = f"{exc}\n{tail}".strip().replace(f"{venvs.ROOT}/", "")
            return Sample(key, name, variant_name, number, error=text)
    return Sample(key, name, variant_name, number, metrics, problems)


def _save(samples: list[Sample], facts: dict[str, str], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    content = {"facts": facts, "samples": [dataclasses.asdict(sample) for sample in samples]}
    path.write_text(json.dumps(content, indent=1))


def _facts(names: list[str], failed: dict[str, str], passes: int, scale: float) -> dict[str, str]:
    """What a reader must know to judge the numbers."""
    versions = [f"{name} {venvs.version(name)}" for name in names if name not in failed]
    sizes = [f"{name} {PEERS[name].tasks * scale:.0f}" for name in names]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S") + " UTC",
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{_cpu_model()}, {os.cpu_count()} cores, {_memory()}, {platform.release()}",
        "Python": platform.python_version(),
        "servers": ", ".join(servers.versions()),
        "queues": ", ".join(versions),
        "passes": f"{passes}; values are medians over the passes, ratios are taken within a pass",
        "tasks per throughput run": ", ".join(sizes),
        "calls per client run": f"as many, at most {CALLS * scale:,.0f}; in bulk five times as many, at most "
        f"{BULK_CALLS * scale:,.0f} (Celery's group: as many)",
    }


def _cpu_model() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


if __name__ == "__main__":
    started = time.monotonic()
    status = main()
    print(f"took {time.monotonic() - started:.0f} s")
    sys.exit(status)
