"""The objectives on users and the graph, one a file: each holds its head and computes its loss.

The two objectives on posts are in `training.networks`: `language_modelling` and
`image_text_contrast`.
"""
