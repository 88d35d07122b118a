"""The engine: covers, transactions, commit, recovery, checkpoint, compaction, garbage collection, check."""
