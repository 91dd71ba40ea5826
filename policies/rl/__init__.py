"""Reinforcement learning from corrections: one off-policy learner on a frozen chunk policy, or from demonstrations."""
