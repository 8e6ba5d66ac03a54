import { expect, test } from "vitest";
import { attributesOf, deliveryId, labelOf, nameOf } from "../../worker/deliver/deliver.ts";
import { delivery } from "./deliveries.ts";

const ARN = "arn:aws:sns:us-east-1:000000000000:t";

test("a destination's label leaves out what may be a token; its name does not", () => {
  const to = { callback: "https://hooks.example/services/t0k3n?sig=t0k3n" };
  expect(labelOf(to)).toBe("callback:https://hooks.example");
  expect(labelOf({ sns: ARN })).toBe(`sns:${ARN}`);
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
