import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, expect, test } from "vitest";
import { secret } from "../../worker/config/secret.ts";
import { createCallback, webhookHeaders } from "../../worker/deliver/callback.ts";
import { deliveryId } from "../../worker/deliver/deliver.ts";
import { createOutbound, type Outbound } from "../../worker/outbound/outbound.ts";
import { FakeClock } from "../fakes/clock.ts";
import { known } from "../fakes/known.ts";
import { type Receiver, type Respond, startReceiver, status } from "../fakes/receiver.ts";
import fc from "../properties.ts";
import { delivery, errorOf, FAILED, type Given } from "./deliveries.ts";

const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
const OLDER = `whsec_${Buffer.alloc(24, 8).toString("base64")}`;

let receiver: Receiver;
let outbound: Outbound;
const clock = new FakeClock();
beforeEach(async () => {
  receiver = await startReceiver();
  clock.epoch = Date.now();
});
afterEach(async () => {
  await receiver.close();
  await outbound.close();
});

function call({ given = {}, secrets = [SECRET] }: { given?: Given; secrets?: string[] } = {}): Promise<void> {
  const destinations = [known(receiver.url, { secrets })];
  outbound = createOutbound({ destinations });
  const url = `${receiver.url}/hook`;
  return createCallback({ outbound, destinations, clock })(delivery({ callback: url }, given), url);
}

test("the receiver gets the result as a signed event that it can verify", async () => {
  await call({ secrets: [SECRET, OLDER] });
  const [{ method, path, headers, body }] = receiver.received as [Receiver["received"][0]];
  expect([method, path, headers["content-type"]]).toEqual(["POST", "/hook", "application/json"]);
  for (const key of [SECRET, OLDER])
    expect(new Webhook(key).verify(body, headers)).toMatchObject({
      type: "job.succeeded",
      timestamp: new Date(clock.epoch).toISOString(),
      data: { id: "01J.a:b", kind: "image.check", output: { answer: "y" } },
    });
});

test("a failure is delivered too, with its own type", async () => {
  await call({ given: { result: FAILED } });
  const { type, data } = JSON.parse(receiver.received[0]!.body);
  expect([type, data.error.code]).toEqual(["job.failed", "timed_out"]);
});

test("every try has the same id and a signature of its own time", async () => {
  await call();
  clock.epoch += 60_000;
  await call();
  await call({ given: { result: FAILED } });
  await call({ given: { result: { ...FAILED, error: { code: "duplicate_id", message: "taken" } } } });
  const [first, second, other, anothers] = receiver.received.map(({ headers }) => headers);
  expect(second!["webhook-id"]).toBe(first!["webhook-id"]);
  expect(second!["webhook-timestamp"]).not.toBe(first!["webhook-timestamp"]);
  expect(second!["webhook-signature"]).not.toBe(first!["webhook-signature"]);
  expect(other!["webhook-id"]).not.toBe(first!["webhook-id"]);
  expect([first!["webhook-id"], other!["webhook-id"]]).not.toContain(anothers!["webhook-id"]);
});

test("without a secret it is unsigned, with its id and time", async () => {
  await call({ secrets: [] });
  expect(receiver.received[0]!.headers).toMatchObject({
    "webhook-id": expect.any(String),
    "webhook-timestamp": expect.any(String),
  });
  expect(receiver.received[0]!.headers).not.toHaveProperty("webhook-signature");
});

const inAMinute = () => new Date(Math.floor(clock.epoch / 1_000) * 1_000 + 60_000).toUTCString();

test.each<[string, Respond, string, number | undefined]>([
  ["500", status(500), "delivery_failed", undefined],
  ["400", status(400), "delivery_rejected", undefined],
  ["404", status(404), "delivery_rejected", undefined],
  ["302", status(302, { location: "/elsewhere" }), "delivery_failed", undefined],
  ["429 with seconds", status(429, { "retry-after": "90" }), "delivery_failed", 90_000],
  ["503 with an absurd wait", status(503, { "retry-after": "99999999" }), "delivery_failed", 43_200_000],
  ["429", status(429), "delivery_failed", 5_000],
  ["502", status(502), "delivery_failed", 5_000],
  ["504", status(504), "delivery_failed", 5_000],
  ["410", status(410), "delivery_rejected", undefined],
  ["a closed socket", (_, __, request) => void request.socket.destroy(), "delivery_failed", undefined],
])("a receiver that answers %s", async (_, respond, code, retryAfterMs) => {
  receiver.respond(respond);
  const error = await errorOf(call());
  expect(error).toMatchObject({ code, detail: { host: "127.0.0.1" } });
  expect(error.detail!.retryAfterMs).toBe(retryAfterMs);
  expect(receiver.received).toHaveLength(1);
});

test("Retry-After as a date is honoured", async () => {
  receiver.respond((received, response, request) =>
    status(503, { "retry-after": inAMinute() })(received, response, request),
  );
  const { detail } = await errorOf(call());
  expect(detail!.retryAfterMs).toBeGreaterThan(58_000);
  expect(detail!.retryAfterMs).toBeLessThanOrEqual(60_000);
});

test("the body of a refusal is kept for the log, up to a limit", async () => {
  receiver.respond((_, response) => void response.writeHead(400).end(`no such hook ${"x".repeat(100_000)}`));
  const { message, detail } = await errorOf(call());
  expect(message).toBe("127.0.0.1 answered 400.");
  expect(detail!.receiverSaid).toMatch(/^no such hook x{287}$/);
});

test.each<[string, Respond]>([
  [
    "an endless",
    (_, response) => {
      const more = () => void (response.write(Buffer.alloc(64 * 1024)) && setImmediate(more));
      response.on("drain", more);
      more();
    },
  ],
  ["a huge", (_, response) => void response.end(Buffer.alloc(5_000_000))],
  [
    "a cut",
    (_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("x");
      setImmediate(() => response.destroy());
    },
  ],
])("a receiver that answers 200 with %s body has taken the result", async (_, respond) => {
  receiver.respond(respond);
  await call();
});

test("the call to a receiver that hangs ends when the lease is lost", async () => {
  const lease = new AbortController();
  receiver.respond(() => lease.abort(new Error("the lease is lost")));
  await expect(call({ given: { signal: lease.signal } })).rejects.toThrow("the lease is lost");
});

test("an address in the home network that is not listed is refused", async () => {
  outbound = createOutbound();
  const url = "https://192.168.1.20/hook";
  const error = await errorOf(
    createCallback({ outbound, destinations: [], clock })(delivery({ callback: url }), url),
  );
  expect(error).toMatchObject({ code: "address_refused", retry: false });
});

const key = (fill: number) => `whsec_${Buffer.alloc(24, fill).toString("base64")}`;

test("the reference implementation verifies what we sign, whatever the body", () => {
  fc.assert(
    fc.property(
      fc.json(),
      fc.string(),
      fc.uint8Array({ minLength: 24, maxLength: 64 }),
      (json, job, bytes) => {
        const id = deliveryId(job, { callback: "https://a.b/" });
        const whsec = `whsec_${Buffer.from(bytes).toString("base64")}`;
        const headers = webhookHeaders({ id, at: Date.now(), body: json, secrets: [secret(whsec)] });
        expect(new Webhook(whsec).verify(json, headers)).toEqual(JSON.parse(json));
        expect(() => new Webhook(whsec).verify(`${json} `, headers)).toThrow("No matching signature");
      },
    ),
  );
});

test("while a secret rotates, the old and the new one both verify, and no other", () => {
  const headers = webhookHeaders({
    id: "a",
    at: Date.now(),
    body: "{}",
    secrets: [secret(key(1)), secret(key(2))],
  });
  expect(headers["webhook-signature"]!.split(" ")).toHaveLength(2);
  for (const whsec of [key(1), key(2)]) expect(new Webhook(whsec).verify("{}", headers)).toEqual({});
  expect(() => new Webhook(key(3)).verify("{}", headers)).toThrow("No matching signature");
});

test("without a secret there is an id and a time, and no signature", () => {
  const headers = webhookHeaders({ id: "a", at: 1_700_000_000_999, body: "{}", secrets: [] });
  expect(headers).toEqual({
    "content-type": "application/json",
    "webhook-id": "a",
    "webhook-timestamp": "1700000000",
  });
});
