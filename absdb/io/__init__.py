"""The only room that touches files: a FileSystem protocol, the local disk, and a disk in memory."""
