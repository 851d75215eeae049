"""What a failure means: whether the same step may succeed if it is tried again, or in another version of TensorFlow."""

from modelmill.diagnosis.retries import worth_another_try
from modelmill.diagnosis.versions import other_version

__all__ = ["other_version", "worth_another_try"]
