"""Each rival as its own users would write it."""
