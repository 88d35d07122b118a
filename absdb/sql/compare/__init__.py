"""What differs between two results, and how two states of a table compare, computed by DuckDB; diffs as SQL."""
