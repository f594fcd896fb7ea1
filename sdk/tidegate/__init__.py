"""Tidegate's SDK: assigns units to variants in process, and reports outcomes back."""
