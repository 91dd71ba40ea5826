"""Who commands the robot, and the controllers that turn the reference into joint commands."""
