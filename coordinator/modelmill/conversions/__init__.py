"""The life of a conversion: created once, run durably, watched, cancelled."""

from modelmill.conversions.service import Conversions
from modelmill.conversions.state import Conversion, ConversionState, Event, EventKind, StepRecord, StepState

__all__ = ["Conversion", "ConversionState", "Conversions", "Event", "EventKind", "StepRecord", "StepState"]
