"""What the Edge TPU compiler wrote into a .tflite: the payload of its operator, read as data.

The compiler puts what it maps into custom operators named `edgetpu-custom-op`. Their options are a flexbuffer, in it a
flatbuffer with the identifier DWN1, in it the executables (google-coral/libedgetpu: tflite/custom_op_data.cc and
executable/executable.fbs). Field numbers are those of that schema.
"""

from typing import Any, Dict, List, Sequence, Tuple

from modelmill_worker.flatbuffer import Flatbuffer, FlatbufferError, Table

from modelmill_inspector.edgetpu._flexbuffer import Flexbuffer, Value

__all__ = ["OPERATOR", "describe_compiled"]

OPERATOR = "edgetpu-custom-op"
_IDENTIFIER = b"DWN1"

_PARAMETER_CACHING = "PARAMETER_CACHING"
#: ``enum ExecutableType``.
_TYPES = ("STAND_ALONE", _PARAMETER_CACHING, "EXECUTION_ONLY")
#: ``enum DataType`` of a layer.
_DTYPES = ("uint8", "int16", "int32", "bfloat16", "float16", "float32", "", "", "int8", "int16")
#: How many operators, executables and layers are listed.
_LISTED = 50


def describe_compiled(data: Any, payloads: Sequence[Tuple[int, int]]) -> Dict[str, Any]:
    """The fact `edgetpu`.

    payloads: where each operator's options begin in `data`, and how many bytes they are.

    subgraphs: how many operators the Edge TPU runs; what else the model has runs on the CPU.
    runtime_version: the oldest Edge TPU runtime that runs all of it, such as 14.
    compiler: what the compiler calls itself, mostly nothing; chips: such as "beagle".
    caching_tokens: of the executables that keep parameters on the chip, in hexadecimal; models that were compiled
        together have the same.
    on_chip_bytes: parameters that stay on the chip; off_chip_bytes: those that are sent for every inference.
    cycles: the compiler's own estimate; 0 in files from 2021 on.
    operators: [{"runtime_version", "executables": [{"type", "parameter_bytes", "instruction_bytes", "scratch_bytes",
        "narrow_memory_bytes_per_tile", "cycles", "inputs": [layer], "outputs": [layer]}]}] with each layer as
        {"name", "dtype", "shape": [y, x, z], "bytes", "scale", "zero_point"}; at most 50 of each.

    The operators that the compiler took are not told; they are in the model that was compiled.

    Raises FlatbufferError.
    """
    whole = Flatbuffer(data)  # One bound for all payloads: they may all be the same bytes.
    operators = [_read_operator(whole, start, start + length) for start, length in payloads]
    executables = [one for operator in operators for one in operator["executables"]]
    on_chip = sum(one["parameter_bytes"] for one in executables if one["type"] == _PARAMETER_CACHING)
    return {
        "subgraphs": len(operators),
        "runtime_version": max(operator["runtime_version"] for operator in operators),
        "compiler": _one_of(operator.pop("compiler") for operator in operators),
        "chips": sorted({one.pop("chip") for one in executables} - {""}),
        "caching_tokens": sorted({one.pop("token") for one in executables} - {""}),
        "on_chip_bytes": on_chip,
        "off_chip_bytes": sum(one["parameter_bytes"] for one in executables) - on_chip,
        "cycles": sum(one["cycles"] for one in executables),
        "operators": operators[:_LISTED],
    }


def _one_of(texts: Any) -> str:
    """What all say, or the different ones in a row."""
    return ", ".join(sorted(set(texts) - {""}))


def _read_operator(whole: Flatbuffer, start: int, end: int) -> Dict[str, Any]:
    whole.spend(end - start >> 10)
    options = Flexbuffer(whole.data, start, end).read_map()
    found = _read_package(whole, _span(options.get("4")))
    extra = options.get("7")
    if isinstance(extra, tuple) and extra[1]:
        more = _read_package(whole, extra)
        found["executables"] = (found["executables"] + more["executables"])[:_LISTED]
    return found


def _span(value: Value) -> Tuple[int, int]:
    if not isinstance(value, tuple):
        raise FlatbufferError("an operator's options have no executable")
    return value


def _read_package(whole: Flatbuffer, span: Tuple[int, int]) -> Dict[str, Any]:
    start, length = span
    package = Flatbuffer(whole.data, start, start + length, whole)
    if package.identifier != _IDENTIFIER:
        raise FlatbufferError("an operator's executable does not have DWN1 at its byte 4")
    root = package.root()
    multiple = root.span(1)
    if multiple is None:
        raise FlatbufferError("an operator's package has no executables")
    several = Flatbuffer(whole.data, multiple[0], multiple[0] + multiple[1], whole).root().texts(0)
    executables = [Flatbuffer(whole.data, place, place + size, whole).root() for place, size in several[:_LISTED]]
    return {
        "runtime_version": root.scalar(0, "i"),
        "compiler": root.text(4, 256),
        "executables": [_executable(executable) for executable in executables],
    }


def _executable(table: Table) -> Dict[str, Any]:
    kind = table.scalar(13, "h")
    parameters = table.span(6)
    token = table.scalar(14, "Q")
    streams = [stream.span(0) for stream in table.tables(5)]
    return {
        "type": _TYPES[kind] if 0 <= kind < len(_TYPES) else str(kind),
        "parameter_bytes": parameters[1] if parameters else 0,
        "instruction_bytes": sum(span[1] for span in streams if span),
        "scratch_bytes": table.scalar(4, "i"),
        "narrow_memory_bytes_per_tile": table.scalar(12, "i"),
        "cycles": max(table.scalar(11, "i"), table.scalar(16, "q")),
        "chip": table.text(10, 64),
        "token": "{:016x}".format(token) if token else "",
        "inputs": _layers(table, 8),
        "outputs": _layers(table, 9),
    }


def _layers(table: Table, field: int) -> List[Dict[str, Any]]:
    return [_layer(layer) for layer in table.tables(field)[:_LISTED]]


def _layer(layer: Table) -> Dict[str, Any]:
    kind = layer.scalar(6, "h")
    numerics = layer.table(5)
    return {
        "name": layer.text(0, 256),
        "dtype": _DTYPES[kind] if 0 <= kind < len(_DTYPES) else str(kind),
        "shape": [layer.scalar(field, "i") for field in (2, 3, 4)],
        "bytes": layer.scalar(1, "i"),
        "scale": numerics.scalar(1, "f", 0.0) if numerics else 0.0,
        "zero_point": numerics.scalar(0, "i") if numerics else 0,
    }
