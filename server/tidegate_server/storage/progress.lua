-- What scripts share that touch a shard's stream and the hash of its progress.
-- The fold is a reader from the beginning, also before it has begun.

-- Returns the fields of the progress that begin with `prefix`, by the readers' names.
local function by_reader(progress, prefix, fold)
  local fields, found = redis.call('HGETALL', progress), {fold = fold}
  for at = 1, #fields, 2 do
    if fields[at]:sub(1, #prefix) == prefix then
      found[fields[at]:sub(#prefix + 1)] = fields[at + 1]
    end
  end
  return found
end

-- Returns the bytes that the stream holds, and the reader that is not done with them: the slowest.
local function held(progress)
  local read, slowest = by_reader(progress, 'read/', '0'), 'fold'
  for reader, bytes in pairs(read) do
    if tonumber(bytes) < tonumber(read[slowest]) then
      slowest = reader
    end
  end
  local written = tonumber(redis.call('HGET', progress, 'written') or '0')
  return written - tonumber(read[slowest]), slowest
end

-- Releases the entries that all readers are done with.
local function release(stream, progress)
  local least_ms, least_sequence = math.huge, math.huge
  for _, offset in pairs(by_reader(progress, 'offset/', '0-0')) do
    local ms, sequence = offset:match('^(%d+)-(%d+)$')
    ms, sequence = tonumber(ms), tonumber(sequence)
    if ms < least_ms or (ms == least_ms and sequence < least_sequence) then
      least_ms, least_sequence = ms, sequence
    end
  end
  local first_kept = string.format('%.0f-%.0f', least_ms, least_sequence + 1)
  redis.call('XTRIM', stream, 'MINID', '=', first_kept)
end

-- Moves a reader on, past entries of so many bytes, and releases what all readers are done with.
local function advance(stream, progress, reader, offset, bytes)
  redis.call('HSET', progress, 'offset/' .. reader, offset)
  redis.call('HINCRBY', progress, 'read/' .. reader, bytes)
  release(stream, progress)
end
