"""Statements that define things: databases, schemas, tables, views, macros, sequences, snapshots."""
