-- What scripts share that change the configuration.

-- Stores one change of configuration if the store stands one revision below it.
-- keys: revision, resources, changes, history.
-- change: its revision, token of this commit, field of the resource, its serialized value
-- ('' deletes it), the serialized change, number of changes to keep; then names for the history.
-- An entry of the stream also holds the field's value before the change, to undo it.
-- Returns 1 and the revision, or 0 and the revision the store stands at, with nothing changed.
local function commit_change(keys, change)
  local stored = tonumber(redis.call('GET', keys[1]) or '0')
  local revision = tonumber(change[1])
  local id = change[1] .. '-0'
  if stored >= revision then
    -- The same commit again, because its first reply was lost?
    local entry = redis.call('XRANGE', keys[3], id, id)[1]
    return (entry and entry[2][2] == change[2]) and 1 or 0, stored
  end
  if stored ~= revision - 1 then
    return 0, stored
  end
  local before = redis.call('HGET', keys[2], change[3]) or ''
  redis.call('XADD', keys[3], 'MAXLEN', '~', change[6], id,
    't', change[2], 'f', change[3], 'b', before, 'c', change[5])
  if change[4] == '' then
    redis.call('HDEL', keys[2], change[3])
  else
    redis.call('HSET', keys[2], change[3], change[4])
  end
  for name = 7, #change do
    redis.call('SADD', keys[4], change[name])
  end
  redis.call('SET', keys[1], change[1])
  return 1, revision
end
