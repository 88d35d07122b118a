"""Backups, the archive of the log, and recovery to a point in time, in directories and object stores."""
