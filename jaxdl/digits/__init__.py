"""A LeNet on digits: the check of a new host."""
