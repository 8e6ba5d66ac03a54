// Whatever a client sends, made from the description of the API and from what breaks programs: no answer is an error of the server, each is
// what the description says, and every job that was accepted ends with a result.
import { afterAll, beforeAll, expect, test } from "vitest";
import fc from "../properties.ts";
import { DescribedClient } from "./described-client.ts";
import { type Served, serveWorker } from "./served.ts";

// biome-ignore lint/suspicious/noExplicitAny: a JSON schema
type Schema = any;

let served: Served;
let api: DescribedClient;
beforeAll(async () => {
  served = await serveWorker({ KAMADO_SLOTS: "16" });
  api = await DescribedClient.of(served.url);
});
afterAll(() => served.stop());

const RUNS = Number(process.env.HOSTILE_CALLS ?? 120);
const ids = fc.oneof(
  fc.constantFrom("a", "b.1", "c:2", "nobody"),
  fc.nat(999).map((number) => `job-${number}`),
);
const nasty = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "%00",
    "..",
    "../results/a",
    "a/b",
    "'; DROP TABLE jobs; --",
    "%",
    "\u0000",
    "ドア",
    "\ud800",
    "x".repeat(300),
    "__proto__",
  ),
  fc.string({ unit: "binary", maxLength: 30 }),
);

/** Values that fit a schema, more or less. */
function fitting(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  if (schema.$ref) return fitting(api.description.components.schemas[schema.$ref.split("/").at(-1)], depth);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if ("const" in schema) return fc.constant(schema.const);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one: Schema) => fitting(one, depth)));
  if (schema.type === "object" && schema.properties) {
    const fields = Object.entries<Schema>(schema.properties).map(
      ([name, one]) => [name, fitting(one, depth + 1)] as const,
    );
    return fc.record(Object.fromEntries(fields), { requiredKeys: schema.required ?? [] });
  }
  if (schema.type === "array") return fc.array(fitting(schema.items ?? {}, depth + 1), { maxLength: 3 });
  if (schema.type === "string") return fc.oneof(ids, nasty);
  if (schema.type === "boolean") return fc.boolean();
  if (schema.type === "integer" || schema.type === "number")
    return fc.oneof(fc.integer({ min: -1, max: 200 }), fc.double());
  return fc.jsonValue({ maxDepth: 2 });
}

const echoBody = fc.record(
  {
    id: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: ids }),
    kind: fc.constant("echo"),
    input: fc.record(
      { text: fc.string({ maxLength: 20 }), how: fc.constantFrom("fail", "again") },
      { requiredKeys: ["text"] },
    ),
    policy: fc.record(
      { priority: fc.integer({ min: 0, max: 9 }), model: fc.constant("m") },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ["kind", "input"] },
);

function bodiesOf(id: string, schema: Schema): fc.Arbitrary<unknown> {
  const made = fitting(schema);
  const wild = fc.oneof(
    fc.json(),
    nasty,
    fc.constantFrom("[".repeat(500), '{"a":1e999}', '{"kind":"echo","kind":"echo"}'),
  );
  const isSending = id === "sendJob" || id === "putJob";
  return fc.oneof(
    { weight: isSending ? 6 : 0, arbitrary: echoBody },
    { weight: 3, arbitrary: made },
    { weight: 1, arbitrary: wild },
  );
}

type Call = {
  id: string;
  params: Record<string, string>;
  query: Record<string, unknown>;
  body: unknown;
  key: string | undefined;
};

function callsOf(id: string): fc.Arbitrary<Call> {
  const { operation } = api.operation(id);
  const parameters: Schema[] = operation.parameters ?? [];
  const of = (where: string, value: (schema: Schema) => fc.Arbitrary<unknown>) =>
    fc.record(
      Object.fromEntries(
        parameters.filter((one) => one.in === where).map(({ name, schema }) => [name, value(schema)]),
      ),
      where === "path" ? {} : { requiredKeys: [] },
    ) as fc.Arbitrary<Record<string, string>>;
  // An empty part of a path is another address.
  const part = () =>
    fc.oneof(
      ids,
      nasty.filter((text) => text !== "" && text !== "." && text !== "..").map((text) => text.toWellFormed()),
    );
  const schema = operation.requestBody?.content["application/json"]?.schema;
  const binary = fc.oneof(nasty, fc.uint8Array({ maxLength: 50 }));
  return fc.record({
    id: fc.constant(id),
    params: of("path", part),
    query: of("query", (one) => fc.oneof(fitting(one), nasty)),
    body: !operation.requestBody ? fc.constant(undefined) : schema ? bodiesOf(id, schema) : binary,
    key: fc.oneof(
      { weight: 8, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.constantFrom("k-1", "not a key") },
    ),
  });
}

test("no answer is an error of the server, and every accepted job ends with a result", async () => {
  const accepted = new Set<string>();
  const operations = api.operations.filter((id) => id !== "streamEvents");
  // Each read of a dead-letter queue waits for a second.
  const quick = (id: string) => !/DeadLetter|resend/.test(id);
  const calls = fc
    .oneof(
      { weight: 30, arbitrary: fc.constantFrom(...operations.filter(quick), "sendJob", "putJob", "putJob") },
      { weight: 1, arbitrary: fc.constantFrom(...operations.filter((id) => !quick(id))) },
    )
    .chain(callsOf);
  await fc.assert(
    fc.asyncProperty(calls, async ({ id, params, query, body, key }) => {
      const isJson = api.operation(id).operation.requestBody?.content["application/json"] !== undefined;
      const headers = {
        ...(isJson && { "content-type": "application/json" }),
        ...(key !== undefined && { "idempotency-key": key }),
      };
      const answered = await api.call(id, { params, query, body, headers });
      expect(answered.status).toBeLessThan(500);
      if (answered.status === 202 || answered.body?.isNew === false) accepted.add(answered.body.id);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  expect(accepted.size).toBeGreaterThan(10);
  for (const id of accepted) {
    const find = async () => (await api.call("getJob", { params: { id } })).body.state;
    await expect.poll(find, { timeout: 60_000 }).toMatch(/^(succeeded|failed|canceled)$/);
    expect(await served.worker.services.bucket.exists(`results/${id}.json`), id).toBe(true);
  }
});
