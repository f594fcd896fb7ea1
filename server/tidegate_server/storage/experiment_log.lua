-- What scripts share that change experiments.

-- Returns whether a commit with this token is among the last ones: it is the same again, because
-- its first reply was lost.
local function is_repeated(changes, token)
  for _, entry in ipairs(redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1000)) do
    if entry[2][2] == token then
      return true
    end
  end
  return false
end

-- Tells whoever follows that an experiment has changed.
local function tell(count, changes, key, token, kept)
  local id = string.format('%d-0', redis.call('INCR', count))
  redis.call('XADD', changes, 'MAXLEN', '~', kept, id, 't', token, 'k', key)
end
