"""Make docs/environments.md of what `make test-matrix` found out: `make docs-environments`.

Fails where an environment has no record, or one without a conversion that its version can be asked for: then there
would be a row without a reason.
"""

import os
import sys

from matrix import page, records
from matrix.conftest import DEFINITIONS
from matrix.records import Record
from packaging.version import Version

DOCUMENT = records.ROOT / "docs" / "environments.md"
BEGIN, END = "<!-- made by: make docs-environments -->", "<!-- end of what is made -->"


def main() -> None:
    found = {name: records.read(name) for name in DEFINITIONS}
    lacking = [name for name, record in found.items() if record is None]
    lacking += [f"{name} ({', '.join(labels)})" for name, record in found.items() if (labels := page.missing(record))]
    if lacking:
        sys.exit(f"There is nothing to write of {', '.join(lacking)}: run `make test-matrix` first.")
    text = _made([record for record in found.values() if record is not None])
    document = DOCUMENT.read_text()
    before, after = document.split(BEGIN)[0], document.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _made(found: list[Record]) -> str:
    plain = sorted((one for one in found if _kind(one) == "tensorflow"), key=lambda one: Version(one.tensorflow))
    exporting = [one for one in found if _kind(one) == "tensorflowjs"]
    others = [one for one in found if _kind(one) == "other"]
    return "\n\n".join(
        [
            f"{_machine(found)} {_disk(found)}",
            "## TensorFlow",
            page.tensorflow_table(plain),
            "### What is not possible, and what the run said",
            page.reasons(plain),
            "## TensorFlow.js",
            page.tensorflowjs_table(exporting),
            "## Without TensorFlow",
            page.other_table(others),
            "## What this project began with",
            page.seeds(records.read_notes()),
        ]
    )


def _kind(record: Record) -> str:
    provides = DEFINITIONS[record.name].provides
    if "tensorflowjs" in provides:
        return "tensorflowjs"
    return "tensorflow" if "tensorflow" in provides else "other"


def _machine(found: list[Record]) -> str:
    loads = sorted(record.load for record in found if not record.unavailable)
    return (
        f"Measured on {os.cpu_count()} cores, with a load of {loads[0]:.1f} to {loads[-1]:.1f} while imports were "
        "timed."
    )


def _disk(found: list[Record]) -> str:
    apart = sum(record.bytes_on_disk for record in found)
    together = records.read_notes().get("disk", {}).get("together_bytes")
    if together is None:
        return ""
    return (
        f"All environments together take {float(str(together)) / 1e9:.1f} GB; counted one by one, "
        f"{apart / 1e9:.1f} GB: a file that several of them have lies on the disk once."
    )


if __name__ == "__main__":
    main()
