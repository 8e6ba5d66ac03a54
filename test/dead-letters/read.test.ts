// How a dead letter names the queue and the destination that it is about.
import { expect, test } from "vitest";
import { isMeant, queueOf, readDeadLetter } from "../../worker/dead-letters/read.ts";

test.each([
  ["https://sqs.eu-west-1.amazonaws.com/1/jobs", 0],
  ["http://127.0.0.1:4566/000000000000/jobs", 1],
  ["http://localhost:4566/000000000000/jobs", 1],
  ["arn:aws:sqs:us-east-1:000000000000:jobs", 1],
  ["arn:aws:sqs:us-east-1:000000000000:other", undefined],
  [null, undefined],
])("%s means the queue %s", (from, index) => {
  const queues = ["https://sqs.eu-west-1.amazonaws.com/1/jobs", "http://127.0.0.1:4566/000000000000/jobs"];
  const found = queueOf(
    from,
    queues.map((url) => ({ url })),
  );
  expect(found?.url).toBe(index === undefined ? undefined : queues[index]);
});

test.each([
  ["callback:https://hooks.example/…", true],
  ["https://hooks.example/…", true],
  ["https://hooks.example", true],
  ["hooks.example", true],
  ["https://hooks.example/t0k", true],
  ["example", false],
  ["rest:https://hooks.example", false],
])("%s names the destination: %s", (asked, meant) =>
  expect(isMeant(asked, "callback:https://hooks.example/…", "https://hooks.example/t0k3n")).toBe(meant),
);

test("a destination that is turned off is named by its host or origin, though only its label is known", () => {
  for (const asked of ["hooks.example", "https://hooks.example", "callback:https://hooks.example/new"])
    expect(isMeant(asked, "callback:https://hooks.example/new")).toBe(true);
});

const deadOf = (body: string) =>
  readDeadLetter(
    { id: "m-1", queue: "", body, handle: "", sentAt: 0, receiveCount: 1, group: null, attributes: {} },
    "jobs",
    undefined,
  );

test.each([
  ['{"id": "order-7", "kind": "prompt", "input": ', "order-7", "prompt"],
  ['{"kind":"prompt","id":"order-7","policy":{"priority":99}}', "order-7", "prompt"],
  ['{"id": "../secret", "kind": "prompt", ', "m-1", "prompt"],
  ['{"id": "with \\"quotes', "m-1", null],
  [`${" ".repeat(20_000)}{"id": "late"`, "m-1", null],
  ["no json at all", "m-1", null],
])(
  "a body that is no job is listed under the id that its sender gave it, where that can be read: %j",
  (body, id, kind) => {
    expect(deadOf(body)).toMatchObject({ id, kind, messageId: "m-1" });
  },
);
