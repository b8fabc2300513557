"""What facts mean, decided on values alone: the rules that every backend shares."""
