"""What a failure means: whether the same step may succeed if it is tried again."""

from modelmill.diagnosis.retries import worth_another_try

__all__ = ["worth_another_try"]
