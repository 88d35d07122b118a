"""SQL, answered by DuckDB. The only room that knows it."""
