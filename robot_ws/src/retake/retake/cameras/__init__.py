"""Camera nodes and the devices behind them."""
