"""Routes from what a model is to what is wanted, and the environment of every step, with the reasons."""

from modelmill.planning.inspecting import further_inspections, plan_further_inspection, plan_inspection
from modelmill.planning.need import Tried
from modelmill.planning.plan import Attempt, Delivery, Plan, PlannedStep
from modelmill.planning.planner import plan_again, plan_conversion
from modelmill.planning.specification import (
    VERSION_RETRIES,
    ConversionSpec,
    TargetRequest,
    VerificationRequest,
    check_specification,
)

__all__ = [
    "VERSION_RETRIES",
    "Attempt",
    "ConversionSpec",
    "Delivery",
    "Plan",
    "PlannedStep",
    "TargetRequest",
    "Tried",
    "VerificationRequest",
    "check_specification",
    "further_inspections",
    "plan_again",
    "plan_conversion",
    "plan_further_inspection",
    "plan_inspection",
]
