#!lua
-- Stores one change of configuration if the store stands one revision below it.
-- KEYS: revision, resources, changes, history.
-- ARGV: the change's revision, token of this commit, field of the resource, its serialized value
-- ('' deletes it), the serialized change, number of changes to keep; then names for the history.
-- An entry of the stream also holds the field's value before the change, to undo it.
-- Returns {1, revision}, or {0, the revision the store stands at} with nothing changed.
local stored = tonumber(redis.call('GET', KEYS[1]) or '0')
local revision = tonumber(ARGV[1])
local id = ARGV[1] .. '-0'
if stored >= revision then
  -- The same commit again, because its first reply was lost?
  local entry = redis.call('XRANGE', KEYS[3], id, id)[1]
  return {(entry and entry[2][2] == ARGV[2]) and 1 or 0, stored}
end
if stored ~= revision - 1 then
  return {0, stored}
end
local before = redis.call('HGET', KEYS[2], ARGV[3]) or ''
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], id,
  't', ARGV[2], 'f', ARGV[3], 'b', before, 'c', ARGV[5])
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[3])
else
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
for name = 7, #ARGV do
  redis.call('SADD', KEYS[4], ARGV[name])
end
redis.call('SET', KEYS[1], ARGV[1])
return {1, revision}
