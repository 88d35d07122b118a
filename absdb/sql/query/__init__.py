"""Queries: names become states, states become Arrow tables, DuckDB answers."""
