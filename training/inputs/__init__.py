"""What encoders read of posts, prepared once: captions, tokens, images, pixels."""
