"""The archive of the log: shipping it as it grows, reading it back, listing it and removing what is old."""
