"""Run the benchmarks and print the table.

    python -m benchmarks [NAME ...] [--write]

Every row is a ratio measured in one run on the same inputs, the two sides taking turns, so that a noisy machine
disturbs both alike. `--write` puts the tables into docs/performance.md: one for the farm, one with a row for each
environment, which downloads each of them anew and takes half an hour.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

from benchmarks import cached, cold_start, conversion, environments, inspection, transfer
from benchmarks.farm import Farm
from benchmarks.row import Row, table

BENCHMARKS = {
    "conversion": conversion.measure,
    "cached": cached.measure,
    "transfer": transfer.measure,
    "cold-start": cold_start.measure,
    "inspection": inspection.measure,
}
#: In a table of their own.
ENVIRONMENTS = "environments"
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
FARM_TABLE, ENVIRONMENTS_TABLE = "<!-- table: make bench -->", "<!-- table: make bench, environments -->"
END = "<!-- end of table -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS, ENVIRONMENTS], help="all where none is given")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    names = options.names or [*BENCHMARKS, ENVIRONMENTS]
    rows: dict[str, list[Row]] = {FARM_TABLE: [], ENVIRONMENTS_TABLE: []}
    with tempfile.TemporaryDirectory(prefix="modelmill-bench-") as folder, Farm(Path(folder)) as farm:
        for name in names:
            print(f"... {name}", flush=True)
            if name == ENVIRONMENTS:
                rows[ENVIRONMENTS_TABLE] += environments.measure(farm)
            else:
                rows[FARM_TABLE] += BENCHMARKS[name](farm)
    for begin, measured in rows.items():
        if measured:
            text = f"{machine()}\n\n{table(measured)}"
            print(text)
            if options.write:
                _write(begin, text)


def _write(begin: str, text: str) -> None:
    before, rest = DOCUMENT.read_text().split(begin)
    after = rest.split(END, 1)[1]
    DOCUMENT.write_text(f"{before}{begin}\n{text}\n{END}{after}")


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
