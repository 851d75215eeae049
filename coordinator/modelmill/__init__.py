"""The coordinator of modelmill: a conversion farm for TensorFlow models. Never imports TensorFlow."""
