"""What exists: tables and their columns, databases, eras and lineages, snapshots, the commit log, manifests."""
