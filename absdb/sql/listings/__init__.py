"""What SQL tells about an instance: listings, information_schema, SHOW and DESCRIBE."""
