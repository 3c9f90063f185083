"""A trained forecaster for other programs, and a page that forecasts."""
