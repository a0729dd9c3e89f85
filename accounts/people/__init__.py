"""Changes to people: created, granted roles, sent links, told about changes."""
