"""What the pages know and do, without a widget: each module is tested as plain Python."""
