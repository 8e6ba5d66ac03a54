import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { secret } from "../../worker/config/secret.ts";
import { webhookHeaders } from "../../worker/deliver/callback.ts";
import { deliveryId } from "../../worker/deliver/deliver.ts";
import fc from "../properties.ts";

const key = (fill: number) => `whsec_${Buffer.alloc(24, fill).toString("base64")}`;

test("the reference implementation verifies what we sign, whatever the body says", () => {
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

test("while a secret rotates, holders of the old and of the new one both verify; strangers do not", () => {
  const headers = webhookHeaders({
    id: "a",
    at: Date.now(),
    body: "{}",
    secrets: [secret(key(1)), secret(key(2))],
  });
  expect(headers["webhook-signature"]!.split(" ")).toHaveLength(2);
  for (const holder of [key(1), key(2)]) expect(new Webhook(holder).verify("{}", headers)).toEqual({});
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

test("a delivery's id is the same for the same job and destination only, and fits everywhere", () => {
  const to = { callback: "https://a.b/" };
  expect(deliveryId("j1", to)).toBe(deliveryId("j1", { ...to }));
  const others = [
    deliveryId("j2", to),
    deliveryId("j1", { callback: "https://a.b/c" }),
    deliveryId("j1", to, "x"),
    deliveryId("j1", { rest: to.callback }),
  ];
  expect(new Set([deliveryId("j1", to), ...others]).size).toBe(5);
  expect(deliveryId("a.b", to)).not.toBe(deliveryId("a-b", to));
  for (const job of ["j.1:x", "x".repeat(128), "犬"])
    expect(deliveryId(job, to)).toMatch(/^[A-Za-z0-9_-]{18,117}$/);
});
