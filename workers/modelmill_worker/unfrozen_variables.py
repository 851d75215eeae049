"""What to say of a frozen graph in which variables stayed variables where a step needs all of their values."""

from modelmill_worker.errors import StepError
from modelmill_worker.signature import Signature

_SHOWN = 3


def names_in(signature: Signature) -> str:
    """The variables that stayed, for a sentence; empty where there are none."""
    names = signature.variables
    more = " and {} more".format(len(names) - _SHOWN) if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def refuse(signature: Signature, form: str) -> None:
    """Raise StepError VARIABLES_NOT_FROZEN where variables stayed.

    form: what cannot be made of such a graph, such as "TFLite".
    """
    if not signature.variables:
        return
    raise StepError(
        "VARIABLES_NOT_FROZEN",
        "{} stayed variables when the graph was frozen, and such a graph cannot become {}. Freeze all variables: "
        "leave out the freezer's options only_variables and without_variables.".format(names_in(signature), form),
        {"variables": list(signature.variables)},
    )
