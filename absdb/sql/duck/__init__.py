"""DuckDB itself: its connections, types, errors and what it reads and gives back."""
