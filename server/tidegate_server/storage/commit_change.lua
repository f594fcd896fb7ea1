#!lua
-- Stores one change of configuration if the store stands one revision below it.
-- KEYS: the keys, ARGV: the change of `commit_change`.
-- Returns {1, revision}, or {0, the revision the store stands at} with nothing changed.
return {commit_change(KEYS, ARGV)}
