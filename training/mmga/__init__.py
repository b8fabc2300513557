"""MMGA: multimodal learning with graph alignment (arXiv 2210.09946)."""
