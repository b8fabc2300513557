"""What a representation is worth: arrays in, figures out; knows no method."""
