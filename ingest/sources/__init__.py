"""Where events come from: the contract of a source, files, reading ahead."""
