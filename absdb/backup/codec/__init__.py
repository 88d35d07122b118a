"""How files are stored in backups and archives: in parts, compressed, encrypted."""
