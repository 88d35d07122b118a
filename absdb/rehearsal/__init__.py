"""Migration rehearsals: run on a branch, watched, with what the parent did meanwhile replayed on top."""
