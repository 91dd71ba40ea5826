"""The ROS 2 nodes of Retake and the `retake` command."""
