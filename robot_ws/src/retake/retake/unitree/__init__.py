"""Unitree's wire: messages, DDS, service calls, remote; for the driver and for the other end."""
