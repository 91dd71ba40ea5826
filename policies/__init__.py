"""Policies, training, chunk execution, episode files, statistics: torch, no ROS."""
