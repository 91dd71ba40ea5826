"""`retake doctor`: is this machine fit to run the robot?"""
