"""Post inputs of the encoders, prepared once: captions, tokens, images, pixels."""
