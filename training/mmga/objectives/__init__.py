"""The five pre-training objectives, one a file: each holds its head and gives its loss."""
