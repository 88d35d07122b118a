"""The write-ahead log: format, segment files, writer and group commit, reader, tail decision, repair."""
