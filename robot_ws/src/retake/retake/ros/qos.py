"""Quality of service by name, one choice for each kind of topic, used on both sides.

Everything on one machine is reliable: in lockstep a lost message would stop the graph, and at these rates (500 Hz,
2 kB) round trips stay at 0.5 ms. Late messages are caught by their stamps.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile

SEND = QoSProfile(depth=2000)  # every recorded publisher: what a starved recorder has not fetched yet stays here
STREAM = QoSProfile(depth=10)  # subscriptions to streams of which each message counts
# Subscriptions inside a control loop. Behind a queue of ten, a controller that was slow for a moment worked off old
# states first, and each reference waited for its turn among them: up to 220 ms on 2 busy cores, 4 ms with depth 1.
NEWEST = QoSProfile(depth=1)
CAMERA = QoSProfile(depth=5)  # subscriptions to compressed images and their camera_info
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # what is true until it changes
# The same where each change counts, for its publisher and the recorder: two of them may lie 20 ms apart
CHANGES = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RECORD = QoSProfile(depth=2000)  # the recorder's subscriptions: 4 s of a 500 Hz topic may wait for the disk
