"""Curves of a run, in TensorBoard and MLflow."""
