"""The web panel: what people see and what they do with it."""
