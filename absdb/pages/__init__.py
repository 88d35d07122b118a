"""Durable Arrow pages: types, keys, page files, runs, index runs, lookups and folds. Unaware of the log."""
