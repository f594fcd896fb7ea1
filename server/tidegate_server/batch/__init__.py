"""Batch assignment: many units of one flag at once, from numpy or Arrow arrays."""

from tidegate_server.batch.assign import BatchAssignment, assign_many

__all__ = ["BatchAssignment", "assign_many"]
