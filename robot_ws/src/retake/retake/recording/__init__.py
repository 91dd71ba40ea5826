"""The recorder and the episode that it writes."""
