"""Limits that several processes keep together: one script in Redis, on Redis's own clock.

The arithmetic is that of ``windows``. A window is a hash from sub-window to count; calls at once are a
sorted set of holders by the second at which they are forgotten, which the process of each renews, so that
those of a killed process are free after ``HELD`` seconds. All keys share one hash slot. What stands in the future, because
the clock was set back, counts as of now.
Tests: tests/gateway/test_limits.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.gateway.limits.windows import Charge, Decision, Settlement
from app.gateway.redis_client import connect, leave_replica

HELD: Final = 15
"""Seconds after which a holder that is not renewed expires."""

WAIT: Final = 0.05
"""Seconds that a request waits for Redis."""

PATIENCE: Final = 5.0
"""Seconds that what ended waits for Redis: no request does."""

_PREFIX: Final = "sluice:{limits}:"

SCRIPT: Final = """
local clock = redis.call('TIME')
local sec, usec = tonumber(clock[1]), tonumber(clock[2])
local now = sec + usec / 1000000
local op, holder, held = ARGV[1], ARGV[2], tonumber(ARGV[3])
local PARTS = 60

local function part_at(seconds)
  if seconds == 0 then return 0 end
  return math.floor(sec / seconds) * PARTS
    + math.floor(((sec % seconds) + usec / 1000000) * PARTS / seconds)
end

local function free_at(part, seconds) return (part + PARTS + 1) * seconds / PARTS end

local function add(key, seconds, part, amount)
  redis.call('HINCRBY', key, string.format('%.0f', part), amount)
  redis.call('EXPIRE', key, seconds * 2 + 60)
end

local function argument(place, number) return tonumber(ARGV[3 + (place - 1) * 4 + number]) end

if op == 'renew' then
  for place, key in ipairs(KEYS) do
    redis.call('ZADD', key, 'XX', now + held, ARGV[3 + place])
    redis.call('EXPIRE', key, held * 2)
  end
  return {}
end

if op == 'settle' then
  for place, key in ipairs(KEYS) do
    local seconds, part, amount = argument(place, 2), argument(place, 3), argument(place, 4)
    if seconds == 0 then
      redis.call('ZREM', key, holder)
    elseif amount > 0 then
      add(key, seconds, part_at(seconds), amount)
    elseif amount < 0 then
      local field = string.format('%.0f', part)
      local count = tonumber(redis.call('HGET', key, field))
      if count then redis.call('HSET', key, field, math.max(0, count + amount)) end
    end
  end
  return {}
end

local windows, refused, wait = {}, 0, 0
for place, key in ipairs(KEYS) do
  local most, seconds, amount = argument(place, 1), argument(place, 2), argument(place, 3)
  local window = {parts = {}, counts = {}, used = 0}
  windows[place] = window
  if seconds == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    window.used = redis.call('ZCARD', key)
    if window.used + amount > most then
      for _, other in ipairs(redis.call('ZRANGEBYSCORE', key, now + held + 1, '+inf')) do
        redis.call('ZADD', key, now + held, other)
      end
    end
  else
    local all, last = redis.call('HGETALL', key), part_at(seconds)
    for index = 1, #all, 2 do
      local part, count = tonumber(all[index]), tonumber(all[index + 1])
      if part > last then
        redis.call('HDEL', key, all[index])
        add(key, seconds, last, count)
        part = last
      end
      if part < last - PARTS then
        redis.call('HDEL', key, all[index])
      else
        if not window.counts[part] then window.parts[#window.parts + 1] = part end
        window.counts[part] = (window.counts[part] or 0) + count
        window.used = window.used + count
      end
    end
    table.sort(window.parts)
  end
  if window.used + amount > most then
    local longer, left = seconds, window.used
    if seconds == 0 then
      longer = 1
    elseif amount <= most then
      for _, part in ipairs(window.parts) do
        left = left - window.counts[part]
        if left + amount <= most then
          longer = free_at(part, seconds) - now
          break
        end
      end
    end
    if longer > wait then refused, wait = place, longer end
  end
end

local answer = {refused, string.format('%.6f', wait)}
for place, key in ipairs(KEYS) do
  local seconds, amount = argument(place, 2), argument(place, 3)
  local window, part = windows[place], part_at(seconds)
  if refused == 0 and amount > 0 then
    if seconds == 0 then
      redis.call('ZADD', key, now + held, holder)
      redis.call('EXPIRE', key, held * 2)
    else
      add(key, seconds, part, amount)
    end
    window.used = window.used + amount
    window.parts[#window.parts + 1] = part
  end
  local last, reset = window.parts[#window.parts], 0
  if last and seconds > 0 then reset = math.max(0, free_at(last, seconds) - now) end
  answer[#answer + 1] = window.used
  answer[#answer + 1] = string.format('%.6f', reset)
  answer[#answer + 1] = string.format('%.0f', part)
end
return answer
"""


class RedisWindows:
    """The back end in Redis at ``url``; each call is one round trip and raises ``redis.RedisError``, after
    ``seconds`` without an answer at the latest."""

    def __init__(
        self, url: str, *, script: str = SCRIPT, prefix: str = _PREFIX, seconds: float = 1.0
    ) -> None:
        self._prefix = prefix
        self._redis = connect(url, seconds, text=True)
        self._script = self._redis.register_script(script)

    def admit(self, charges: Sequence[Charge], holder: str) -> Decision:
        """Charge all, or none."""
        rows = ((one.most, one.seconds, one.amount, 0) for one in charges)
        answer = self._run("admit", [one.key for one in charges], holder, rows)
        refused, used, resets, parts = int(answer[0]), answer[2::3], answer[3::3], answer[4::3]
        return Decision(
            list(map(int, used)),
            list(map(float, resets)),
            list(map(int, parts)),
            refused - 1 if refused else None,
            float(answer[1]),
        )

    def settle(self, settlements: Sequence[Settlement], holder: str) -> None:
        """Charge what is left, whatever the limits say, and let ``holder`` go."""
        rows = ((one.charge.most, one.charge.seconds, one.part, one.amount) for one in settlements)
        self._run("settle", [one.charge.key for one in settlements], holder, rows)

    def renew(self, held: Sequence[tuple[str, str]]) -> None:
        """Renew holders; each comes with the key of its limit."""
        self._run("renew", [key for key, _ in held], "", ((holder,) for _, holder in held))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _run(self, op: str, keys: Sequence[str], holder: str, rows: Iterable[tuple[Any, ...]]) -> list[Any]:
        arguments = [op, holder, HELD, *(value for row in rows for value in row)]
        with leave_replica(self._redis):
            answer: list[Any] = self._script([self._prefix + key for key in keys], arguments)
        return answer


def condition(url: str) -> tuple[bool, str, float | None]:
    """Tell whether the Redis at ``url`` answers, a sentence for the operator without its password, and its Unix seconds."""
    from redis import RedisError

    try:
        with connect(url, 5.0) as store:
            seconds, micros = store.time()
    except (RedisError, ValueError) as error:
        return False, f"does not answer: {error}", None
    return True, "answers", seconds + micros / 1e6
