"""Steps of training: time, memory, size, on CPU and GPU."""
