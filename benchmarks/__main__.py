"""Run the cases: `make bench` writes what it found, `make bench-quick` prints it."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from benchmarks import agent, apply, cold, killed, measuring, nothing, peers, rehearsal, report, runners, waiting
from benchmarks.measuring import Bench
from support import postgres

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
CASES = {
    case.__name__.rpartition(".")[2]: case
    for case in (cold, apply, nothing, waiting, runners, killed, agent, rehearsal)
}


def main() -> None:
    """Measure; after a whole run write `results.json`, `RESULTS.md` and the block of `docs/benchmarks.md`."""
    asked = _arguments()
    results = {
        "machine": measuring.machine(),
        "postgres": _postgres(),
        "versions": peers.versions(),
        "quick": asked.quick,
    }
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked.quick, Path(folder))
        chapters = [_run(name, CASES[name], bench) for name in asked.case or CASES]
    results |= {"rounds": bench.rounds, "chapters": chapters}
    if asked.quick or asked.case:
        print(report.markdown(results))
        return
    (HERE / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (HERE / "RESULTS.md").write_text(report.markdown(results))
    PAGE.write_text(report.into(PAGE.read_text(), results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes; print, and write nothing")
    parser.add_argument("--case", action="append", choices=CASES, help="this one; print, and write nothing")
    return parser.parse_args()


def _run(name: str, case: ModuleType, bench: Bench) -> dict[str, object]:
    started = time.monotonic()
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    chapter = case.run(bench).as_json()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return chapter


def _postgres() -> str:
    server = postgres.binaries() / "postgres"
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    return version.strip().replace("postgres (PostgreSQL)", "PostgreSQL")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted; nothing is written.")
