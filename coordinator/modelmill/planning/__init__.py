"""Routes from what a model is to what is wanted, and the environment of every step, with the reasons."""

from modelmill.planning.plan import Delivery, Plan, PlannedStep
from modelmill.planning.planner import plan_conversion, plan_inspection
from modelmill.planning.specification import ConversionSpec, TargetRequest, VerificationRequest, check_specification

__all__ = [
    "ConversionSpec",
    "Delivery",
    "Plan",
    "PlannedStep",
    "TargetRequest",
    "VerificationRequest",
    "check_specification",
    "plan_conversion",
    "plan_inspection",
]
