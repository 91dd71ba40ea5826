"""Teleoperation devices, a node each, and what they share."""
