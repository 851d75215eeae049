"""Routes from what a model is to what is wanted, and the environment of every step, with the reasons."""

from modelmill.planning.need import Tried
from modelmill.planning.plan import Attempt, Delivery, Plan, PlannedStep
from modelmill.planning.planner import plan_again, plan_conversion, plan_inspection
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
    "plan_again",
    "plan_conversion",
    "plan_inspection",
]
