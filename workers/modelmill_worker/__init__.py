"""modelmill's worker: what runs beside a pinned TensorFlow, and the API that plug-ins are written against."""

from modelmill_worker.errors import StepError
from modelmill_worker.hookspecs import hookimpl
from modelmill_worker.options import option
from modelmill_worker.plugin_api import (
    API_VERSION,
    Edge,
    ErrorHint,
    FailedStep,
    NoOptions,
    Plugin,
    Preference,
    Role,
    Step,
    Target,
    Tree,
)

__all__ = [
    "API_VERSION",
    "Edge",
    "ErrorHint",
    "FailedStep",
    "NoOptions",
    "Plugin",
    "Preference",
    "Role",
    "Step",
    "StepError",
    "Target",
    "Tree",
    "hookimpl",
    "option",
]
