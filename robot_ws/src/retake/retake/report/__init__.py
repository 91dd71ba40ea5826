"""`retake report`: an episode or a dataset as one page."""
