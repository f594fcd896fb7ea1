"""Speed, measured beside its floors: run `make bench`."""
