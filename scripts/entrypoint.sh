#!/usr/bin/env bash
# Runs a command in the container's environment: ROS 2 Jazzy's where it is installed, then the virtual environment's.
set -eo pipefail
if [ -f /opt/ros/jazzy/setup.bash ]; then
    source /opt/ros/jazzy/setup.bash
fi
PATH="$(dirname "$0")/../.venv/bin:$PATH" exec "$@"
