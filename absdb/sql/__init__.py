"""SQL, answered by DuckDB. The only room that knows it; its folders stand on each other (ARCHITECTURE.md)."""
