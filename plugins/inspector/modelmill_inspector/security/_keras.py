"""Searches what describes a Keras model, its configuration in JSON, for what loading it would run, import or read.

Nothing is loaded. What is looked for is what Keras is known to do with a configuration:

- a Lambda layer carries marshalled Python code, which loading turns into a function
  (keras/src/utils/python_utils.py, func_load; CVE-2024-3660);
- an object's `module` is imported and its `class_name` looked up there and called
  (keras/src/saving/serialization_lib.py; CVE-2025-1550), functions of Keras too (CVE-2025-8747, CVE-2025-9906);
- some layers read files that the configuration names (CVE-2025-12058), load a model, or unpickle (CVE-2025-49655).
"""

import json
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from modelmill_inspector.security import _code, _operations
from modelmill_inspector.security._findings import Finding, Findings, inside, shortened

#: How deep a configuration is followed.
_DEEPEST = 200
#: Where a class may come from without a word: Keras, and what TensorFlow has of it.
_TRUSTED_ROOTS = frozenset(["keras", "tf_keras"])
_TRUSTED_MODULES = ("tensorflow.keras.", "tensorflow.python.keras.", "tensorflow.python.training.")
#: Packages and modules of Python with which a single call does harm.
_DANGEROUS_ROOTS = frozenset(
    ["os", "posix", "nt", "subprocess", "sys", "builtins", "__builtin__", "importlib", "shutil", "pty", "socket"]
    + ["runpy", "ctypes", "pickle", "marshal", "code", "codeop", "timeit", "pdb", "webbrowser", "types"]
    + ["operator", "functools", "asyncio", "multiprocessing", "urllib", "http", "ftplib", "pip", "torch"]
)
#: Functions of Python itself that do; others of its module are how Keras writes a function without a module.
_DANGEROUS_BUILTINS = frozenset(
    ["eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "delattr", "globals", "breakpoint", "input"]
)
#: Functions of Keras that a configuration has no business to call.
_DANGEROUS_NAMES = frozenset(
    ["get_file", "enable_unsafe_deserialization", "load_model", "load_weights", "deserialize_keras_object", "func_load"]
    + ["model_from_json", "model_from_config", "save_model", "set_floatx", "extract_archive"]
)
#: Optimizers of Keras 2.11 to 2.15, which writes them as if they were not its own.
_OWN_OPTIMIZERS = frozenset(
    "Custom>" + name
    for name in [
        "Adadelta",
        "Adafactor",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "Ftrl",
        "Lion",
        "Nadam",
        "RMSprop",
        "SGD",
    ]
)
_LAMBDAS = frozenset(["Lambda", "JaxLayer", "FlaxLayer"])
#: Layers that call an operation of TensorFlow by name.
_OPERATIONS = frozenset(["TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod"])
#: What TensorFlow's API has under these names computes, and nothing else.
_HARMLESS_SYMBOL = re.compile(
    r"(math|nn|linalg|signal|image|strings|bitwise|random|sparse|ragged|sets|quantization|__operators__|dtypes|compat\.v1"
    r"\.(math|nn|image|linalg|signal))(\.(?!read_|write_)\w+)+|(abs|add|argmax|argmin|argsort|acos|acosh|asin|asinh|atan"
    r"|atan2|atanh|batch_to_space|bitcast|boolean_mask|broadcast_to|cast|clip_by_value|complex|concat|cond|constant|cos"
    r"|cosh|cumsum|divide|einsum|equal|exp|expand_dims|eye|fill|floor|foldl|foldr|gather|gather_nd|greater|greater_equal"
    r"|identity|less|less_equal|linspace|logical_and|logical_not|logical_or|map_fn|matmul|maximum|meshgrid|minimum"
    r"|multiply|negative|norm|not_equal|one_hot|ones|ones_like|pad|pow|range|rank|realdiv|reduce_\w+|repeat|reshape"
    r"|reverse|reverse_sequence|roll|round|scan|scatter_nd|sequence_mask|shape|sigmoid|sign|sin|sinh|size|slice|sort"
    r"|space_to_batch|split|sqrt|square|squeeze|stack|stop_gradient|strided_slice|subtract|switch_case|tan|tanh"
    r"|tensor_scatter_nd_\w+|tensordot|tile|transpose|truediv|truncatediv|truncatemod|unique|unstack|vectorized_map|where"
    r"|while_loop|zeros|zeros_like)"
)
#: What reaches files, other code or other machines.
_DANGEROUS_SYMBOL = re.compile(
    r"(^|\.)(io|data|saved_model|summary|train|distribute|debugging)\.|py_function|numpy_function"
    r"|load_|read_|write_|save|print"
)
#: Where Keras has the functions that a configuration may name.
_FUNCTIONS = frozenset(
    [
        "activations",
        "losses",
        "metrics",
        "initializers",
        "regularizers",
        "constraints",
        "ops",
        "layers",
        "nn",
        "optimizers",
    ]
)
#: Layers whose vocabulary may be the path of a file.
_LOOKUPS = frozenset(["StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup"])
#: Parts of a model that are used only when it is compiled.
_COMPILED = frozenset(["compile_config", "training_config"])


class KerasScan:
    """The search of the configurations of one source; what it finds goes into `findings`."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def text(self, text: str, where: str) -> bool:
        """Search a configuration in JSON; whether it is one. What is no JSON is not searched."""
        try:
            config = json.loads(text)
        except (ValueError, RecursionError):
            return False
        if isinstance(config, (dict, list)):
            self.config(config, where)
        return True

    def config(self, config: Any, where: str) -> None:
        """Search a configuration, down to everything that it holds."""
        self._findings.configurations += 1
        waiting: List[Tuple[Any, str, str, int]] = [(config, "", "", 0)]
        while waiting:
            value, name, part, depth = waiting.pop()
            if depth > _DEEPEST:
                self._add(Finding("medium", "SEARCH_BOUND_MET", _TOO_DEEP, name), where, part)
                continue
            if isinstance(value, dict):
                name = _name_of(value) or name
                for finding in _findings_of(value, name):
                    self._add(finding, where, part)
                waiting.extend(
                    (inner, name, key if key in _COMPILED else part, depth + 1) for key, inner in value.items()
                )
            elif isinstance(value, (list, tuple)):
                waiting.extend((inner, name, part, depth + 1) for inner in value)
            elif isinstance(value, str):
                self._text_value(value, name, where, part, depth)

    def _text_value(self, value: str, name: str, where: str, part: str, depth: int) -> None:
        """A text may be code, or a configuration in JSON of its own, as Keras writes those of custom layers."""
        code = _code.marshalled(value)
        if code is not None:
            self._add(_marshalled(code, name), where, part)
        elif value.lstrip()[:1] in ("{", "[") and '"class_name"' in value and depth < _DEEPEST:
            self.text(value, inside(where, "text in {}".format(name or "the configuration")))

    def _add(self, finding: Finding, where: str, part: str) -> None:
        text = finding.text
        if part:
            text += " It stands in {}: it is used only where the model is compiled, as loading does by default.".format(
                part
            )
        place = inside(where, part) if part else where
        self._findings.add(Finding(finding.severity, finding.reason, text, finding.node, finding.op, place))


_TOO_DEEP = "The configuration is nested more than {} deep and was not searched further.".format(_DEEPEST)


def _findings_of(value: Dict[str, Any], name: str) -> Iterator[Finding]:
    """What one object of a configuration, by its class, is reported for."""
    kind, config = value.get("class_name"), value.get("config")
    if not isinstance(kind, str):
        return
    settings = config if isinstance(config, dict) else {}
    module = value.get("module")
    yield from _of_module(kind, module, value.get("registered_name"), config, name)
    plain = kind.rsplit(">", 1)[-1]
    if plain in _LAMBDAS:
        yield _of_lambda(plain, settings, name)
    elif plain in _OPERATIONS:
        yield _of_operation(plain, settings, name)
    elif plain in _LOOKUPS and isinstance(settings.get("vocabulary"), str):
        yield Finding(
            "high",
            "KERAS_READS_FILE",
            "The layer reads its vocabulary from a file when it is loaded: {!r}.".format(
                shortened(settings["vocabulary"])
            ),
            name,
            kind,
        )
    elif plain == "TFSMLayer":
        text = "The layer loads another model when it is loaded: {!r}.".format(shortened(str(settings.get("filepath"))))
        yield Finding("high", "KERAS_LOADS_MODEL", text, name, kind)
    elif plain == "TorchModuleWrapper":
        text = "The layer unpickles a PyTorch module when it is loaded, which may run anything."
        yield Finding("critical", "KERAS_UNPICKLES", text, name, kind)


def _of_lambda(kind: str, settings: Dict[str, Any], name: str) -> Finding:
    """A layer of the model's own Python code: carried in the file, or named."""
    for key in ("function", "call_fn", "init_fn", "apply_fn", "output_shape", "mask"):
        code = _code_in(settings.get(key))
        if code is not None:
            text = "The layer {} runs Python code that the file carries. Names in it: {}.".format(
                kind, ", ".join(map(shortened, _code.names_in(code))) or "nothing that can be told"
            )
            return Finding("critical", "KERAS_LAMBDA_CODE", text, name, kind)
    named = settings.get("function")
    text = "The layer {} calls a Python function that is looked up by its name: {}.".format(
        kind, shortened(named if isinstance(named, str) else json.dumps(named, default=str))
    )
    return Finding("high", "KERAS_LAMBDA", text, name, kind)


def _of_operation(kind: str, settings: Dict[str, Any], name: str) -> Finding:
    """A layer that calls a symbol of TensorFlow's API ("math.add", "raw_ops.WriteFile"), or holds a whole NodeDef."""
    if kind == "TensorFlowOpLayer":
        operation = _operation_of_node(settings.get("node_def"))
        danger = _operations.danger_of_operation(operation)
    else:
        operation = str(settings.get("function", settings.get("symbol", kind)))
        raw = operation.startswith("raw_ops.")
        danger = _operations.danger_of_operation(operation[len("raw_ops.") :]) if raw else None
        if kind == "TFOpLambda" and not raw and not _HARMLESS_SYMBOL.fullmatch(operation):
            text = "The layer calls {} of TensorFlow, which is not known to compute only.".format(shortened(operation))
            severity = "critical" if _DANGEROUS_SYMBOL.search(operation) else "medium"
            return Finding(severity, "KERAS_OPERATION_NOT_ALLOWED", text, name, kind)
    if danger is not None:
        text = "The layer calls {}, which {}.".format(shortened(operation), danger.text)
        return Finding(danger.severity, danger.reason, text, name, kind)
    text = "The layer calls an operation of TensorFlow: {}.".format(shortened(operation))
    return Finding("info", "KERAS_OPERATION_LAYER", text, name, kind)


def _operation_of_node(node: Any) -> str:
    """The operation of a NodeDef as Keras writes it: a dictionary, or its text in JSON; "" where it cannot be told."""
    if isinstance(node, str):
        try:
            node = json.loads(node)
        except (ValueError, RecursionError):
            return ""
    return str(node.get("op", "")) if isinstance(node, dict) else ""


def _code_in(value: Any) -> Optional[bytes]:
    """The code in a function of a configuration: a list that begins with it, or an object of class __lambda__."""
    if isinstance(value, dict):
        config = value.get("config")
        return _code_in(config.get("code") if isinstance(config, dict) else config)
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    if isinstance(value, str):
        return _code.marshalled(value)
    return None


def _of_module(kind: str, module: Any, registered: Any, config: Any, name: str) -> Iterator[Finding]:
    """What is said by where a class or function comes from."""
    called = {kind, config if isinstance(config, str) else kind} & _DANGEROUS_NAMES
    if called:
        text = (
            "The configuration calls {}, a function of Keras that reaches files, the network or other models.".format(
                ", ".join(sorted(called))
            )
        )
        yield Finding("critical", "KERAS_DANGEROUS_FUNCTION", text, name, kind)
    if kind == "__lambda__":
        code = _code_in({"config": config})
        names = ", ".join(map(shortened, _code.names_in(code or b""))) or "nothing that can be told"
        text = "A function of the model is Python code that the file carries. Names in it: {}.".format(names)
        yield Finding("critical", "KERAS_LAMBDA_CODE", text, name, kind)
    if isinstance(module, str) and module and not _is_trusted(module):
        what = "{}.{}".format(shortened(module), shortened(config if isinstance(config, str) else kind))
        if _is_dangerous(module, config if isinstance(config, str) else kind):
            text = "Loading the model imports and calls {}, which is no part of Keras.".format(what)
            yield Finding("critical", "KERAS_DANGEROUS_FUNCTION", text, name, kind)
        else:
            text = "Loading the model needs {}, which is no part of Keras: the code is not in the file.".format(what)
            yield Finding("medium", "KERAS_CUSTOM_OBJECT", text, name, kind)
    elif isinstance(module, str) and kind == "function" and _FUNCTIONS.isdisjoint(module.split(".")):
        text = "Loading the model looks up {} in {}, where Keras has no functions for models.".format(
            shortened(str(config)), shortened(module)
        )
        if not called and module != "builtins":
            yield Finding("high", "KERAS_DANGEROUS_FUNCTION", text, name, kind)
    elif not module:
        own = registered if isinstance(registered, str) else kind
        if ">" in own and not own.startswith(("Keras>", "keras>")) and own not in _OWN_OPTIMIZERS:
            text = "Loading the model needs {}, which the program must register: the code is not in the file.".format(
                shortened(own)
            )
            yield Finding("medium", "KERAS_CUSTOM_OBJECT", text, name, kind)


def _is_dangerous(module: str, called: str) -> bool:
    if module == "builtins":
        return called in _DANGEROUS_BUILTINS
    return module.split(".", maxsplit=1)[0] in _DANGEROUS_ROOTS


def _is_trusted(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in _TRUSTED_ROOTS or (module + ".").startswith(_TRUSTED_MODULES)


def _marshalled(code: bytes, name: str) -> Finding:
    text = "The configuration holds marshalled Python code. Names in it: {}.".format(
        ", ".join(map(shortened, _code.names_in(code))) or "nothing that can be told"
    )
    return Finding("critical", "MARSHALLED_CODE", text, name)


def _name_of(value: Dict[str, Any]) -> str:
    config = value.get("config")
    for holder in (value, config if isinstance(config, dict) else {}):
        if isinstance(holder.get("name"), str):
            return str(holder["name"])
    return ""
