"""Run the benchmarks and print the table.

    python -m benchmarks [NAME ...] [--write]

Every row is a ratio measured in one run on the same inputs, the two sides taking turns, so that a noisy machine
disturbs both alike. `--write` puts the tables into docs/performance.md: one for the farm, one for freezing, one
for rewriting, one with a row for each environment, which downloads each of them anew and takes half an hour.

`support`, run only where it is named, is no race: it compares the inspector's predictions with conversions, and
`--write` puts its table into docs/support.md.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

from benchmarks import cached, cold_start, conversion, environments, freezing, inspection, rewriting, support, transfer
from benchmarks.farm import Farm
from benchmarks.row import Row, table

BENCHMARKS = {
    "conversion": conversion.measure,
    "cached": cached.measure,
    "transfer": transfer.measure,
    "cold-start": cold_start.measure,
    "inspection": inspection.measure,
}
SUPPORT = "support"
DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "performance.md"
SUPPORT_DOCUMENT = DOCS / "support.md"
FARM_TABLE, ENVIRONMENTS_TABLE = "<!-- table: make bench -->", "<!-- table: make bench, environments -->"
FREEZING_TABLE = "<!-- table: make bench, freezing -->"
REWRITING_TABLE = "<!-- table: make bench, rewriting -->"
SUPPORT_TABLE = "<!-- table: python -m benchmarks support -->"
#: Benchmarks in a table of their own.
TABLES = {
    "freezing": (FREEZING_TABLE, freezing.measure),
    "rewriting": (REWRITING_TABLE, rewriting.measure),
    "environments": (ENVIRONMENTS_TABLE, environments.measure),
}
END = "<!-- end of table -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choices = [[], *BENCHMARKS, *TABLES, SUPPORT]
    parser.add_argument("names", nargs="*", choices=choices, help="all races where none is given")
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    options = parser.parse_args()
    names = options.names or [*BENCHMARKS, *TABLES]
    rows: dict[str, list[Row]] = {FARM_TABLE: [], FREEZING_TABLE: [], REWRITING_TABLE: [], ENVIRONMENTS_TABLE: []}
    with tempfile.TemporaryDirectory(prefix="modelmill-bench-") as folder, Farm(Path(folder)) as farm:
        for name in names:
            print(f"... {name}", flush=True)
            if name == SUPPORT:
                text = support.table(support.measure(farm))
                print(text)
                if options.write:
                    _write(SUPPORT_DOCUMENT, SUPPORT_TABLE, text)
                continue
            begin, measure = TABLES[name] if name in TABLES else (FARM_TABLE, BENCHMARKS[name])
            rows[begin] += measure(farm)
    for begin, measured in rows.items():
        if measured:
            text = f"{machine()}\n\n{table(measured)}"
            print(text)
            if options.write:
                _write(DOCUMENT, begin, text)


def _write(document: Path, begin: str, text: str) -> None:
    before, rest = document.read_text().split(begin)
    after = rest.split(END, 1)[1]
    document.write_text(f"{before}{begin}\n{text}\n{END}{after}")


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    models = [line.split(":")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({(models or ['unknown'])[0].strip()}), {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}; load before the end: {load}."
    )


if __name__ == "__main__":
    main()
