"""Nodes that answer observations: a policy here, a policy elsewhere, a learnt residual on one of them."""
