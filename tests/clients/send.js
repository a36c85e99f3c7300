// Sends `2 x COUNT` events with one real SDK: half of them, then, when told on standard input, the rest.
//
//     node send.js SDK URL KEY COUNT
//
// Event n carries the property n; group and message id are made of it.
"use strict";
const { createRequire } = require("module");
const readline = require("readline");
const { createHash } = require("crypto");
const need = createRequire(process.cwd() + "/package.json");

function messageId(n) {
  const hex = createHash("sha256").update(`event ${n}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

const sdks = {
  segment(url, key) {
    const { Analytics } = need("@segment/analytics-node");
    const client = new Analytics({ writeKey: key, host: url, maxRetries: 20 });
    return {
      send: (n) =>
        client.track({
          userId: "u-1", event: "Used", properties: { n }, context: { groupId: `g-${n % 5}` }, messageId: messageId(n),
        }),
      flush: () => client.flush(),
    };
  },
  rudder(url, key) {
    const module_ = need("@rudderstack/rudder-sdk-node");
    const client = new (module_.default || module_)(key, { dataPlaneUrl: url, retryCount: 20, flushAt: 1000 });
    return {
      send: (n) =>
        client.track({
          userId: "u-1", event: "Used", properties: { n }, context: { groupId: `g-${n % 5}` }, messageId: messageId(n),
        }),
      flush: () => new Promise((done) => client.flush(done)),
    };
  },
  posthog(url, key) {
    const { PostHog } = need("posthog-node");
    const client = new PostHog(key, { host: url, fetchRetryCount: 60, fetchRetryDelay: 500 });
    return {
      send: (n) =>
        client.capture({
          distinctId: "u-1", event: "Used", properties: { n }, groups: { company: `g-${n % 5}` }, uuid: messageId(n),
        }),
      flush: () => client.flush(),
    };
  },
  jitsu(url, key) {
    const { jitsuAnalytics } = need("@jitsu/js");
    const client = jitsuAnalytics({ host: url, writeKey: `${key}:s`, s2s: true });
    return {
      send: async (n) => {
        await client.group(`g-${n % 5}`, {});
        await client.track("Used", { n });
      },
      flush: async () => {},
    };
  },
  cloudevents(url, key) {
    const { CloudEvent, Mode, emitterFor, httpTransport } = need("cloudevents");
    const emitters = [Mode.BINARY, Mode.STRUCTURED].map((mode) => emitterFor(httpTransport(`${url}/v1/events`), { mode }));
    return {
      send: (n) =>
        emitters[n % 2](
          new CloudEvent({ id: messageId(n), source: "/shop", type: "used", subject: `g-${n % 5}`, data: { n } }),
          { headers: { authorization: `Bearer ${key}` } },
        ),
      flush: async () => {},
    };
  },
};

async function main() {
  const [sdk, url, key, count] = process.argv.slice(2);
  const { send, flush } = sdks[sdk](url, key);
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (let half = 0; half < 2; half++) {
    if (half && (await lines.next()).value !== "go on") process.exit(1);
    for (let n = half * count; n < (half + 1) * count; n++) await send(n);
    await flush();
    process.stdout.write("sent\n");
  }
  process.exit(0);
}

main();
