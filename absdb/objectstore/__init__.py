"""Where backups and the archive of the log lie: one protocol over directories, S3, Google Cloud Storage and Azure."""
