-- wrk: requests at random over the hosts h0.bench.test to hN.bench.test; counts as JSON at the end.
-- Arguments: number of hosts, seed.

local requests = {}
local count

function init(args)
  count = tonumber(args[1])
  math.randomseed(tonumber(args[2]))
  for i = 0, count - 1 do
    requests[i + 1] = "GET /page?from=wrk HTTP/1.1\r\nHost: h" .. i .. ".bench.test\r\n" ..
      "User-Agent: wrk\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nCookie: session=0123456789abcdef\r\n\r\n"
  end
end

function request()
  return requests[math.random(count)]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"durationUs":%d,"failed":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
