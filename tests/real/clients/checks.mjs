// What the client programs share: where the gateway is, the keys, and how a check is told.
// The authority that signed the gateway's certificate comes to Node through NODE_EXTRA_CA_CERTS.
import { isDeepStrictEqual } from "node:util";

export const url = process.env.KEYGATE_URL.replace(/\/$/, "");

// The headers that carry a key of the test's gateway.toml: KEY_READ, KEY_WRITE, …; none for null.
export function bearer(name) {
  return name === null ? {} : { Authorization: `Bearer ${process.env[`KEY_${name.toUpperCase()}`]}` };
}

// One line per check. The first that fails ends the program.
export function check(what, seen, expected = true) {
  if (!isDeepStrictEqual(seen, expected)) {
    console.error(`FAILED  ${what}\n  expected: ${JSON.stringify(expected)}\n  seen:     ${JSON.stringify(seen)}`);
    process.exit(1);
  }
  console.log(`ok      ${what}`);
}
