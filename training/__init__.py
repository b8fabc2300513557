"""MMGA on Ray Train: post inputs, model, objectives, evaluation and publishing."""
