"""What was given another name since COMMIT, and what may differ; extend these tables.

They are read when outcomes are compared, so an outcome that is kept stays good.

The first three are regular expressions with what each match becomes, one after the other, on both
sides: a name that is new already must match none of them. An entry may stay for good.
"""

FILES: tuple[tuple[str, str], ...] = (
    # By the digest of captions, not by graph and version; views by what they join.
    (r"^post_inputs/tokens/([^/]+)/[^/]+/", r"post_inputs/tokens/\1/POSTS/"),
    (r"^post_inputs/views/[^/]+/", "post_inputs/views/VIEW/"),
)
"""Paths below a home, such as `(r"/trained\\.safetensors$", "/after.safetensors")`."""

KEYS: tuple[tuple[str, str], ...] = (
    (r"(^|\.)schedule\.", r"\1phases."),
    (r"\bhard_strangers\b", "hard_negatives"),
    (r"\bnum_without_strangers\b", "num_without_negatives"),
    (r"\bfloor_name\b", "baseline_name"),
    (r"\bfloor(s?)\b", r"baseline\1"),
    (r"\bis_moved\b", "is_improved"),
    (r"\bloses\b", "is_below_baseline"),
    (r"\(fans, ", "(link prediction, "),
    (r"\(users by ", "(user classification by "),
    (r"^told\b", "metadata"),
)
"""Dotted keys of JSON documents and of JSON lines, columns of tables, fields of batches."""

OPTIONS: tuple[tuple[str, str], ...] = ((r"^schedule\.", "phases."),)
"""Options of `mmga train --set`, on a side that does not know the old name."""

PARAMETERS: tuple[tuple[str, str], ...] = ()
"""Tensors in safetensors files, such as `(r"^image_encoder\\.", "encoders.image.")`."""

PLACES: dict[str, tuple[str, ...]] = {
    "write_synthetic_network": ("ingest.synthetic:write_synthetic_network",),
    "open_graph": ("graphdb:open_graph",),
    "open_snapshot": ("graphdb.snapshot:open_snapshot", "graphdb.snapshot.snapshot:open_snapshot"),
    "open_run": ("training.run_files:open_run", "training.runs.run_folder:open_run"),
    "open_post_inputs": (
        "training.post_inputs:open_post_inputs",
        "training.inputs.post_inputs:open_post_inputs",
    ),
    "training_data": (
        "training.training_data:training_data",
        "training.mmga.training_data:training_data",
    ),
    "Trainer": ("training.trainer:Trainer", "training.mmga.trainer:Trainer"),
    "plan": ("training.schedule:plan", "training.mmga.phases:plan"),
    "open_texts": ("training.inputs.captions:open_texts",),
    "read_user_texts": (
        "training.user_texts:read_user_texts",
        "training.evaluation.user_texts:read_user_texts",
    ),
    "prepare_evaluator": (
        "training.judge:prepare_judge",
        "training.evaluation.evaluator:prepare_evaluator",
    ),
    "content_seed": (
        "training.negatives:content_seed",
        "training.evaluation.link_pairs:content_seed",
    ),
    "pair_universe": (
        "training.negatives:pair_universe",
        "training.evaluation.link_pairs:pair_universe",
    ),
}
"""Where the probe finds what it calls: MODULE:NAME, the first that is there. Add the new place."""

CHECKPOINTS = ("checkpoints/r*/seed-0/checkpoints",)
"""Folders, below a home, where training leaves STEP.json and STEP.safetensors."""

RUNS = ("checkpoints/r*/run.json",)
"""The files, below a home, that tell of a run."""

MASKED = (
    "*:*seconds",  # how long something took
    "*:*recipe",  # tells the options that were set, by their names of then
    "*:*.task",  # of a figure, whose key has it too
    "post_inputs/views/VIEW/view.json:tokens",
    "checkpoints/*/run.json:code_version",  # a digest of the source
    "generations/*/manifest.json:code_version",
    "generations/*/manifest.json:checksums.*",  # of files whose content is compared
    "checkpoint.json:digest",
    "post_inputs/images/images.db:images.image_key",  # a digest of where the image lies
    "post_inputs/images/images.db:images.content_id",  # in the order of these keys
    "post_inputs/images/images.db:images.stamp",  # the times of the image's file
)
"""Names, after renaming, whose values are not compared; that they are there is."""

LEFT_OUT = (
    "*.lock",  # who holds it
    "*.db-shm",
    "*.db-wal",
    "checkpoints/*/post_inputs",  # names the view
    "*/attempt",  # fences an older process out: each start has its own
    "snapshots/*.texts/*",  # the texts that a run has read, once
    "*/report.txt",
    "*/tensorboard/*",  # the curves of losses.jsonl, and when they were written
    "registry.db",  # Feast's, with its own clock
)
"""Files below a home, after renaming, that are not compared."""
