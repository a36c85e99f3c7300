"""What a backtest says to whoever has to decide: load, settings, outcomes, and the page. Pure."""
