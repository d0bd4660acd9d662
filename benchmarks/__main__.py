"""Run every case: `make bench` writes what it found, `make bench-quick` prints it."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import postgres
from benchmarks import agent, apply, cold, crowd, killed, measuring, nothing, peers, rehearsal, report, waiting
from benchmarks.measuring import Bench

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
CASES = (cold, apply, nothing, waiting, crowd, killed, agent, rehearsal)


def main() -> None:
    """Measure, and write `results.json`, `RESULTS.md` and the README's block."""
    quick = _arguments().quick
    results = {"machine": measuring.machine(), "postgres": _postgres(), "versions": peers.versions()}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(quick, Path(folder))
        results |= {"rounds": bench.rounds, "chapters": [_run(case, bench) for case in CASES]}
    if quick:
        print(report.markdown(results))
        return
    (HERE / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (HERE / "RESULTS.md").write_text(report.markdown(results))
    README.write_text(report.into(README.read_text(), results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes; print, and write nothing")
    return parser.parse_args()


def _run(case, bench: Bench) -> dict:
    started = time.monotonic()
    print(f"{case.__name__} …", end=" ", file=sys.stderr, flush=True)
    chapter = case.run(bench).as_json()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return chapter


def _postgres() -> str:
    server = postgres.binaries() / "postgres"
    told = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    return told.strip().replace("postgres (PostgreSQL)", "PostgreSQL")


if __name__ == "__main__":
    main()
