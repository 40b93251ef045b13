"""What the speed suite measured."""
