"""What to say of a frozen graph with lookup tables where a format cannot hold what fills them."""

from modelmill_worker.errors import StepError
from modelmill_worker.signature import Signature


def refuse(signature: Signature, form: str, advice: str) -> None:
    """Raise StepError LOOKUP_TABLES_UNSUPPORTED for a graph whose tables are filled by nodes of their own.

    form: what cannot be made of it, such as "TFLite". advice: what to do instead, as a sentence.
    """
    if not signature.initializers:
        return
    raise StepError(
        "LOOKUP_TABLES_UNSUPPORTED",
        "The graph has lookup tables, which {} must run once before the first call. A frozen graph with them cannot "
        "become {}. {}".format(", ".join(signature.initializers[:3]), form, advice),
        {"initializers": list(signature.initializers)},
    )
