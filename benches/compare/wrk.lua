-- Sends each of the keys of a file in turn, and prints what came of it as one line of JSON.
local requests, at = {}, 0

function init(arguments)
    for key in io.lines(arguments[1]) do
        requests[#requests + 1] = wrk.format("GET", nil, {
            ["Authorization"] = "Bearer " .. key, ["Accept"] = "application/json", ["User-Agent"] = "bench", ["Host"] = "localhost",
        })
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nRESULT {"answers": %d, "bytes": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %d, "p99": %d}\n',
        summary.requests, summary.bytes, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
