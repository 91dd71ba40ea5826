# Retake in a container: on ROS 2 Jazzy's own packages, or with --build-arg BASE=debian:12 (or ubuntu:24.04, ubuntu:22.04)
# on the ROS wheels. README, "Container", says how to run it with a panel, cameras and real-time priority.
ARG BASE=ros:jazzy-ros-base
FROM ${BASE}
# Of pyproject.toml. `dev,hardware` runs the tests too.
ARG EXTRA=hardware
ENV PIP_NO_CACHE_DIR=1
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates iproute2 libegl1 libgl1 libgl1-mesa-dri libgomp1 libosmesa6 libusb-1.0-0 make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/retake
COPY . .
RUN scripts/entrypoint.sh scripts/bootstrap.sh "$EXTRA" && touch .venv/.installed
ENTRYPOINT ["/opt/retake/scripts/entrypoint.sh"]
CMD ["retake", "up"]
