"""What tests of absdb, and of programs that use it, lean on; nothing in the package imports this room."""
