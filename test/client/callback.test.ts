// Receivers verify callbacks with the client: only what Kamado signed with their secret, and just now, is believed.
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { type Kinds, verifyCallback } from "../../client/client.ts";
import { secret } from "../../worker/config/secret.ts";
import { webhookHeaders } from "../../worker/deliver/callback.ts";

const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
const OTHER = `whsec_${Buffer.alloc(24, 8).toString("base64")}`;
const data = {
  id: "j1",
  kind: "image.check",
  status: "succeeded",
  output: { answer: "y", probability: 0.9 },
};
const body = JSON.stringify({ type: "job.succeeded", timestamp: "2036-01-01T00:00:00Z", data });

const signed = ({ at = Date.now(), secrets = [SECRET] } = {}) =>
  webhookHeaders({ id: "msg_1", at, body, secrets: secrets.map(secret) });
const upper = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));

test.each([
  ["of Node", signed(), body],
  ["of another case, as Lambda hands them on", upper(signed()), body],
  ["as Headers, with a body of bytes", new Headers(signed()), Buffer.from(body)],
  [
    "with several values",
    { ...signed(), "webhook-signature": ["v1,x", signed()["webhook-signature"]!] },
    body,
  ],
])("the event of a callback with headers %s", (_, headers, body) => {
  const { id, result, sentAt } = verifyCallback<Kinds>({ headers, body, secret: SECRET });
  expect([id, result]).toEqual(["msg_1", data]);
  expect(Math.abs(Date.now() - sentAt.getTime())).toBeLessThan(60_000);
});

test("while a secret rotates, the new and the old one verify, on either side", () => {
  expect(verifyCallback({ headers: signed({ secrets: [OTHER, SECRET] }), body, secret: SECRET }).id).toBe(
    "msg_1",
  );
  expect(verifyCallback({ headers: signed(), body, secret: [OTHER, SECRET] }).id).toBe("msg_1");
});

test("what the reference library of Standard Webhooks signs is verified", () => {
  const at = new Date();
  const headers = {
    "webhook-id": "msg_2",
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": new Webhook(SECRET).sign("msg_2", at, body),
  };
  expect(verifyCallback({ headers, body, secret: SECRET }).result).toEqual(data);
});

test.each([
  ["another body", { body: body.replace('"y"', '"n"') }, "no signature"],
  ["another secret", { secret: OTHER }, "no signature"],
  ["another id", { headers: { ...signed(), "webhook-id": "msg_9" } }, "no signature"],
  [
    "another version of the signature",
    { headers: { ...signed(), "webhook-signature": signed()["webhook-signature"]!.replace("v1,", "v2,") } },
    "no signature",
  ],
  [
    "no signature",
    { headers: { ...signed(), "webhook-signature": undefined } },
    "no header webhook-signature",
  ],
  ["a callback that somebody kept", { headers: signed({ at: Date.now() - 301_000 }) }, "300 seconds"],
  ["a callback from the future", { headers: signed({ at: Date.now() + 600_000 }) }, "300 seconds"],
  ["a time that is none", { headers: { ...signed(), "webhook-timestamp": "now" } }, "no signature"],
])("%s is refused", (_, change, words) => {
  let thrown: unknown;
  try {
    verifyCallback({ headers: signed(), body, secret: SECRET, ...change });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({
    code: "signature_invalid",
    status: 401,
    message: expect.stringContaining(words),
  });
});

test.each([[""], [[]]])("without a secret nothing is believed: %j", (secret) => {
  expect(() => verifyCallback({ headers: signed(), body, secret })).toThrowError(
    /^secret: verifyCallback needs one/,
  );
});
