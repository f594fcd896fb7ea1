"""Speed, measured side by side with the floor that no implementation can pass, and with others."""
