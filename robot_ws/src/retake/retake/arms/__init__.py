"""Drivers of arms: motors on a CAN bus, or a ROS 2 driver of their own."""
