"""The text of SQL statements: tokens, places, parameters, points in time, what a query refers to."""
