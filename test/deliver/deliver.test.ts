import { expect, test } from "vitest";
import { attributesOf, deliveryId, labelOf, nameOf } from "../../worker/deliver/deliver.ts";
import type { Destination } from "../../worker/job/envelope.ts";
import { delivery } from "./deliveries.ts";

const ARN = "arn:aws:sns:us-east-1:000000000000:t";

test.each<[Destination, string]>([
  [{ callback: "https://hooks.example/orders/new" }, "callback:https://hooks.example/orders/new"],
  [{ callback: "https://hooks.example/a?sig=t0k3n#t0k3n" }, "callback:https://hooks.example/a"],
  [{ rest: "https://me:t0k3n@todo.example:8443/todos/" }, "rest:https://todo.example:8443/todos/"],
  [{ callback: "https://hooks.example/" }, "callback:https://hooks.example"],
  [
    { callback: "https://hooks.example/services/T00000000/t0k3nt0k3n" },
    "callback:https://hooks.example/services/…/…",
  ],
  [
    { callback: "https://h.example/api/webhook/6f1c1a4e-88a2-4d8f-9d53-2f8a41b0c9e7" },
    "callback:https://h.example/api/webhook/…",
  ],
  [{ callback: `https://h.example/${"x".repeat(40)}/end` }, "callback:https://h.example/…/end"],
  [
    { sqs: "https://me:t0k3n@sqs.us-east-1.amazonaws.com/123456789012/q?t0k3n" },
    "sqs:https://sqs.us-east-1.amazonaws.com/123456789012/q",
  ],
  [{ sns: ARN }, `sns:${ARN}`],
])("the label of %j is %s", (to, label) => {
  expect(labelOf(to)).toBe(label);
});

test("a label is short, however long the address", () => {
  expect(labelOf({ callback: `https://h.example/${"a/".repeat(9_000)}` }).length).toBeLessThanOrEqual(200);
  expect(labelOf({ sns: `arn:${"a".repeat(9_000)}` }).length).toBeLessThanOrEqual(200);
});

test("a destination's name is its whole address", () => {
  const to = { callback: "https://hooks.example/services/t0k3n?sig=t0k3n" };
  expect(nameOf(to)).toBe(`callback:${to.callback}`);
});

test("a delivery's id is the same only for the same job and destination, and has only allowed characters", () => {
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

test.each([
  [{ answer: "uncertain" }, "uncertain"],
  [{ answer: "はい" }, "はい"],
  [{ answer: "Paris is the capital of France." }, undefined],
  [{ answer: "x".repeat(65) }, undefined],
  [{ answer: "" }, undefined],
  [{ answer: 1 }, undefined],
  ["y", undefined],
  [null, undefined],
  [undefined, undefined],
])("of the output %j the answer to filter on is %s", (output, answer) => {
  const { result } = delivery({ sns: ARN }, { result: { output } });
  expect(attributesOf(result).answer).toBe(answer);
});
