"""What makes an instance more than a table store: points in time, branches, snapshots, restore, diff, row history."""
