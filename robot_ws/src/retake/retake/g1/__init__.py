"""The G1's driver."""
