"""What every node is made of: messages to values and back, quality of service, parameters, diagnostics, one thread."""
