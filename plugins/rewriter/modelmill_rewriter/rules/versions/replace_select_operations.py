"""Operations that TFLite's converter leaves to TensorFlow ("Select TF ops"), written with builtin ones.

    Softsign(x)        ->  x / (1 + |x|)
    Roll(x, 2, axis 1) ->  ConcatV2(x[:, -2:], x[:, :-2])
    MaxPoolV2(x, ...)  ->  MaxPool(x)

and so on: `_about_elementwise_forms.py`, `_about_array_forms.py` and `_about_image_forms.py` have a table each. All
hold exactly or up to the rounding of float32. A model without such operations needs no TensorFlow beside TFLite's
interpreter, which is some tens of megabytes, and runs on microcontrollers and in Play Services.

What the converter of the TensorFlow that converts has itself stays as it is, and so does what it would not have all of
the form's operations for. (Which has which was measured: modelmill_inspector/support/tflite.txt.)
"""

from dataclasses import dataclass
from typing import ClassVar, Dict

from modelmill_rewriter.rules.versions import _about_array_forms, _about_elementwise_forms, _about_image_forms
from modelmill_rewriter.rules.versions._about_builtin_forms import Form, Use
from modelmill_rewriter.rules_api import DONE, YES, Builder, Match, Pattern, Rule, Tensor, Verdict, no, op

FORMS: Dict[str, Form] = {
    **_about_elementwise_forms.FORMS,
    **_about_array_forms.FORMS,
    **_about_image_forms.FORMS,
}


@dataclass(frozen=True)
class ReplaceSelectOperations(Rule):
    """Builtin operations instead of those that need TensorFlow beside TFLite."""

    name: ClassVar[str] = "replace_select_operations"
    summary: ClassVar[str] = "Writes what TFLite has only with TensorFlow beside it with builtin operations."

    def pattern(self) -> Pattern:
        """Any operation that there is a form of."""
        return op(tuple(FORMS), open_ended=True)

    def check(self, match: Match) -> Verdict:
        """The converter must lack the operation and have those of the form, and the form must be for this use."""
        form, use = FORMS[match.root_node.op], Use(match)
        if form.builtin_since is not None and not match.target.is_converted_before(*form.builtin_since):
            return DONE
        if use.dtype not in form.dtypes:
            if match.root_node.op in _OF_OTHER_TYPES:
                return DONE
            return no(
                "it computes {}, and the form is for {}".format(use.dtype or "no type", " and ".join(form.dtypes))
            )
        if match.target.is_converted_before(*form.needs):
            return no("TensorFlow {}.{} is the first that converts what it would be written with".format(*form.needs))
        reason = form.why_not(use)
        return no(reason) if reason else YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """As the operation's form builds it."""
        return FORMS[match.root_node.op].build(Use(match), make)


#: Builtin for other types than those that their forms are for.
_OF_OTHER_TYPES = ("Abs", "Where")
