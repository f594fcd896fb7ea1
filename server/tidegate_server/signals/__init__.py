"""What the server tells its operators: metrics, and lines of the log that have a fixed form."""
