"""Evaluation of representations: a function of arrays, independent of the method."""
