"""Publishing: a trained network becomes the generation that is served."""
