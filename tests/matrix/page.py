"""docs/environments.md, made of the records that a run of the matrix left."""

from collections.abc import Iterable, Mapping
from itertools import groupby

from matrix.conversions import FORMS, TFJS, TFLITE
from matrix.records import Outcome, Record

#: Forms as the page names them.
NAMES = {
    "checkpoint": "checkpoint with graph.pb or graph.pbtxt",
    "saved_model_v1": "SavedModel of TensorFlow 1's builder",
    "saved_model": "SavedModel of `tf.saved_model.save`",
    "keras_saved_model": "SavedModel of Keras",
    "keras_h5": "Keras .h5",
    "keras_v3": "Keras .keras",
}
CONVERTERS = ("TOCO", "MLIR")
_EXCERPT = 220


def tensorflow_table(records: Iterable[Record]) -> str:
    """A row for each environment that holds a TensorFlow and nothing more."""
    head = (
        "environment",
        "TensorFlow",
        "Python",
        "converter's API",
        "sources that work",
        "converter",
        "interpreter",
        "largest error",
        "import, s",
        "MB",
    )
    return _table(head, [_tensorflow_row(record) for record in records])


def tensorflowjs_table(records: Iterable[Record]) -> str:
    """A row for each environment with tensorflowjs."""
    head = ("environment", "what", "Python", "TensorFlow", "sources that work", "verified", "import, s", "MB")
    return _table(head, [_tensorflowjs_row(record) for record in records])


def other_table(records: Iterable[Record]) -> str:
    """A row for each environment without TensorFlow."""
    head = ("environment", "what", "Python", "import, s", "MB")
    rows = [
        (record.name, record.summary, record.python, *(_unavailable(record) or _measured(record))) for record in records
    ]
    return _table(head, rows)


def reasons(records: Iterable[Record]) -> str:
    """What is not possible and what the run said of it; versions that said the same stand together."""
    told = [(text, record.tensorflow) for record in records for text in _refusals(record)]
    lines = []
    for text, group in groupby(sorted(told, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        versions = [version for _, version in group]
        lines.append((_order(versions[0]), f"- {_listed(versions)}: {text}"))
    return "\n".join(line for _, line in sorted(lines))


def seeds(notes: Mapping[str, Mapping[str, object]]) -> str:
    """What the tests of the seeds measured; what the disk holds stands elsewhere."""
    notes = {subject: facts for subject, facts in notes.items() if subject != "disk"}
    return _table(("seed", "measured"), [(subject, _facts(facts)) for subject, facts in sorted(notes.items())])


def missing(record: Record) -> list[str]:
    """What a record lacks for a row: conversions that were not tried although their form was written."""
    if record.unavailable or not record.tensorflow:
        return []
    asked = TFJS if record.name.startswith("tfjs") else TFLITE
    return [one.label for one in asked if one.form not in record.not_written and one.label not in record.outcomes]


def _tensorflow_row(record: Record) -> tuple[str, ...]:
    unavailable = _unavailable(record)
    if unavailable:
        return (record.name, record.tensorflow, record.python, *unavailable)
    automatic = record.outcomes["checkpoint + graph.pb"]
    possible = [name for name in CONVERTERS if not record.outcomes[name].reason]
    chosen = " and ".join(f"**{name}**" if name == automatic.engine else name for name in possible)
    errors = [outcome.error for outcome in record.outcomes.values() if outcome.error is not None]
    runner = "yes" if not record.no_interpreter else f"no; run by {automatic.run_by}"
    return (
        record.name,
        record.tensorflow,
        record.python,
        f"`{automatic.api}`",
        _working(record),
        chosen,
        runner,
        f"{max(errors):.0e}",
        *_measured(record),
    )


def _tensorflowjs_row(record: Record) -> tuple[str, ...]:
    unavailable = _unavailable(record)
    if unavailable:
        return (record.name, record.summary, record.python, record.tensorflow, *unavailable)
    verified = {outcome.verification.lower() for outcome in record.outcomes.values()}
    first = (record.name, record.summary, record.python, record.tensorflow)
    return (*first, _working(record), ", ".join(sorted(verified)), *_measured(record))


def _working(record: Record) -> str:
    """The forms of which every way to ask was answered."""
    asked = TFJS if record.name.startswith("tfjs") else TFLITE
    plain = [one for one in asked if not one.options and one.label in record.outcomes]
    works = [one.form for one in plain if not record.outcomes[one.label].reason]
    return ", ".join(NAMES[form] for form in FORMS if form in works)


def _refusals(record: Record) -> Iterable[str]:
    if record.unavailable:
        return
    if record.no_interpreter:
        yield f"no interpreter for TFLite: {_shown(record.no_interpreter)}"
    for form, why in record.not_written.items():
        yield f"cannot write a {NAMES[form]}: {_shown(why)}"
    for label, outcome in record.outcomes.items():
        if outcome.reason:
            yield f"does not convert with {label}: `{outcome.reason}`, {_shown(_general(outcome, record))}"


def _general(outcome: Outcome, record: Record) -> str:
    """What was said, without the version's own name, so that versions can stand together."""
    return outcome.message.replace(f"TensorFlow {record.tensorflow}", "this TensorFlow")


def _unavailable(record: Record) -> tuple[str, ...]:
    return (f"cannot be had on this machine: {record.unavailable}",) if record.unavailable else ()


def _measured(record: Record) -> tuple[str, str]:
    return f"{record.import_seconds:.1f}", f"{record.bytes_on_disk / 1e6:.0f}"


def _facts(facts: Mapping[str, object]) -> str:
    return "; ".join(_fact(name, value) for name, value in facts.items())


def _fact(name: str, value: object) -> str:
    """A number with its unit, which the name ends in where it has one."""
    words = name.replace("_", " ")
    if name.endswith("_bytes"):
        return f"{words.removesuffix(' bytes')}: {float(str(value)) / 1e6:.0f} MB"
    return f"{words}: {value:.3g}" if isinstance(value, float) else f"{words}: {_shown(str(value))}"


def _shown(text: str) -> str:
    """One line that Markdown takes as it is."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1] + "…"


def _listed(versions: list[str]) -> str:
    ordered = sorted(set(versions), key=_order)
    return "TensorFlow " + ", ".join(ordered)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join((*line, *[""] * (len(head) - len(line)))) + " |" for line in lines)
