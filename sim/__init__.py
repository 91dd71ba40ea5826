"""MuJoCo worlds, tasks, cameras, environments, and the nodes that stand in for drivers."""
