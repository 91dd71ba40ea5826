"""Commands about recorded episodes and datasets."""
