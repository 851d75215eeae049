"""A conversion that the farm has made before."""

import statistics

from modelmill.client import collect

from benchmarks.farm import Farm, timed
from benchmarks.models import models
from benchmarks.row import Row, seconds

ROUNDS = 25
LIMIT = 0.05


def measure(farm: Farm) -> list[Row]:
    rows = []
    for model in models(farm):
        source = collect(model.graph)
        first = timed(lambda source=source: farm.convert(source, "tflite", verify=True))
        again = [timed(lambda source=source: farm.convert(source, "tflite", verify=True)) for _ in range(ROUNDS)]
        middle = statistics.median(again)
        rows.append(
            Row(
                f"{model.name} to TFLite, verified, asked for again: from request to files on disk",
                seconds(again),
                f"{first:.2f} s, the first time",
                f"{first / middle:.0f}x faster",
                "under 50 ms",
                middle < LIMIT,
            )
        )
    return rows
