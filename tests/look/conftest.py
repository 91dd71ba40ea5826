"""The probe of the node tests, for the replay, in a ROS domain of its own."""

from __future__ import annotations

import os

os.environ.setdefault("ROS_DOMAIN_ID", "17")

from nodes.conftest import probe

__all__ = ["probe"]
