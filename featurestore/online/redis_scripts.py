"""Lua scripts that run inside Redis: compare-and-set and deletion of rows by commit time.

A row is the fields of one feature view in the hash of one user; its time is Feast's own field
`_ts:VIEW`, a `Timestamp` message of seconds and nanoseconds. A script blocks the server until it
ends, so callers pass as many users as take about a millisecond.
"""

from featurestore.online.redis_server import Script

TIME = """
local function time_of(message)
  local seconds, nanoseconds, at = 0, 0, 1
  while at <= #message do
    local tag, number, place, byte = message:byte(at), 0, 1, 0
    repeat
      at = at + 1
      byte = message:byte(at)
      number = number + (byte % 128) * place
      place = place * 128
    until byte < 128
    at = at + 1
    if number >= 2 ^ 63 then number = number - 2 ^ 64 end
    if tag == 8 then seconds = number elseif tag == 16 then nanoseconds = number end
  end
  return seconds, nanoseconds
end

local function is_later(message, seconds, nanoseconds)
  local s, n = time_of(message)
  return s > seconds or (s == seconds and n > nanoseconds)
end
"""

WRITE = Script(
    text=TIME
    + """
-- KEYS: format, views, fields of this view, then users.
-- ARGV: format, view, number of features, (feature, field) of each, then by user: time, values.
local view, num = ARGV[2], tonumber(ARGV[3])
redis.call('SETNX', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], view)
if num > 0 then redis.call('HSET', KEYS[3], unpack(ARGV, 4, 3 + 2 * num)) end

local row = {'_ts:' .. view, false}
for i = 1, num do row[1 + 2 * i] = ARGV[3 + 2 * i] end
local at, num_written, time, seconds, nanoseconds = 4 + 2 * num, 0, false, 0, 0
for user = 4, #KEYS do
  if ARGV[at] ~= time then
    time = ARGV[at]
    seconds, nanoseconds = time_of(time)
  end
  local there = redis.call('HGET', KEYS[user], row[1])
  if not there or there == time or not is_later(there, seconds, nanoseconds) then
    row[2] = time
    for i = 1, num do row[2 + 2 * i] = ARGV[at + i] end
    redis.call('HSET', KEYS[user], unpack(row))
    num_written = num_written + 1
  end
  at = at + 1 + num
end
return num_written
"""
)
"""Writes the rows that are not older than the stored ones; returns how many."""

DELETE = Script(
    text=TIME
    + """
-- KEYS: fields of the view, then users. ARGV: view, seconds, nanoseconds.
local row = redis.call('HVALS', KEYS[1])
row[#row + 1] = '_ts:' .. ARGV[1]
local seconds, nanoseconds, num_deleted = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
for user = 2, #KEYS do
  local there = redis.call('HGET', KEYS[user], row[#row])
  if there and not is_later(there, seconds, nanoseconds) then
    redis.call('HDEL', KEYS[user], unpack(row))
    num_deleted = num_deleted + 1
  end
end
return num_deleted
"""
)
"""Deletes rows of one view up to a time; returns how many."""

ERASE = Script(
    text=TIME
    + """
-- KEYS: users. ARGV: what the keys of fields begin with, seconds, nanoseconds.
local seconds, nanoseconds, num_deleted = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
local rows = {}
local function row_of(view)
  if not rows[view] then
    rows[view] = redis.call('HVALS', ARGV[1] .. view)
    if #rows[view] > 0 then table.insert(rows[view], '_ts:' .. view) end
  end
  return rows[view]
end
for _, user in ipairs(KEYS) do
  local old, is_whole = {}, true
  for _, field in ipairs(redis.call('HKEYS', user)) do
    if #field > 4 and field:sub(1, 4) == '_ts:' then
      if is_later(redis.call('HGET', user, field), seconds, nanoseconds) then
        is_whole = false
      else
        old[#old + 1] = field:sub(5)
      end
    end
  end
  if is_whole and #old > 0 then
    redis.call('DEL', user)
    num_deleted = num_deleted + #old
  else
    for _, view in ipairs(old) do
      local row = row_of(view)
      if #row > 0 then
        redis.call('HDEL', user, unpack(row))
        num_deleted = num_deleted + 1
      end
    end
  end
end
return num_deleted
"""
)
"""Deletes rows of every view up to a time, those of stock Feast included; returns how many.

Where a user keeps a later row, rows of views that were never registered stay as well.
"""

SET_POINTER = Script(
    text="""
-- KEYS: format, pointer. ARGV: format, the record that was read ('' where there was none), the new.
redis.call('SETNX', KEYS[1], ARGV[1])
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[3])
return 1
"""
)
"""Replaces the pointer record where it is still the one that was read; returns whether it was."""
