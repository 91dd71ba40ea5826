"""A recording once more: as a film, or on a robot."""
