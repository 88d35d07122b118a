"""What may come next at a place in an SQL text: names that are there, functions, keywords."""
