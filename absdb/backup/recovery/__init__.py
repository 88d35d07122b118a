"""Recovery to a point in time: what recovery.conf asks for, what is possible, fetching the log, promotion, restore."""
