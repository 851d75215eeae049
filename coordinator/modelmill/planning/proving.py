"""The steps that prove what rewrites and edits do: a model runs before and after each change, on the same inputs."""

from __future__ import annotations

from collections.abc import Sequence

from modelmill.planning.draft import Draft, Wanted
from modelmill.planning.need import Need
from modelmill.planning.plan import EDITS, PlannedStep
from modelmill.planning.routes import EDITS_KIND, hops
from modelmill.planning.verifying import UnverifiableError, add_sample, bind
from modelmill.values import Role

_CHANGING = (Role.REWRITE, Role.EDIT)


def add_proofs(draft: Draft, wanted: Wanted, made: Sequence[str]) -> None:
    """Add a step for each rewrite and each edit on the way to a result; a note says where one cannot be proved.

    made: SOURCE and the ids of the steps that make the result, in order.
    """
    changing = [step_id for step_id in made if draft.role_of(step_id) in _CHANGING]
    if not changing:
        draft.notes.append(f"{wanted.name} is made without a rewrite, so there is nothing to prove")
    for step_id in changing:
        before = draft.steps
        try:
            _add_proof(draft, wanted, step_id)
        except UnverifiableError as error:
            draft.forget_after(before)
            draft.notes.append(f"{step_id} is not proved: {error}")


def _add_proof(draft: Draft, wanted: Wanted, step_id: str) -> None:
    step = draft.step(step_id)
    model = next(source for source in step.inputs.values() if source != EDITS)
    need = _proving(draft, wanted, step, draft.kind_of(model))
    inputs = add_sample(draft, wanted, [step_id], name=f"sample.{step_id}")
    properties = need.edge.options_schema.get("properties", {})
    options = {name: value for name, value in step.options.items() if name in properties}
    bound = bind(need.hop, inputs, model)
    draft.add(need, bound, options, step.target, f"what {step_id} changes", name=f"prove.{step_id}")


def _proving(draft: Draft, wanted: Wanted, step: PlannedStep, kind: str) -> Need:
    """An edge that takes what the step takes, and inputs."""
    takes_edits = EDITS in step.inputs.values()
    for hop in hops(draft.plugins, Role.PROVE):
        need = draft.need(wanted, hop)
        fits = hop.kind == kind and (EDITS_KIND in hop.edge.inputs.values()) is takes_edits
        if hop.plugin.name == step.plugin and fits and draft.usable(need):
            return need
    raise UnverifiableError(f"no environment here can run what proves the rewrites of {step.plugin}")
