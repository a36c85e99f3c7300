"""A lifelike product to look at: a reservation service, its restaurants, and their usage day by day."""
