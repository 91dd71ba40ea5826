"""Robot constants, whole-body control, estimation, limits: NumPy and Pinocchio only."""
