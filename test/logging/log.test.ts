import { inspect } from "node:util";
import { expect, test } from "vitest";
import { secret } from "../../worker/config/secret.ts";
import { KamadoError } from "../../worker/errors.ts";
import { createLog, type LogOptions } from "../../worker/logging/log.ts";
import { growthOf } from "../steps.ts";

function collect(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({
    level: "debug",
    destination: { write: (line) => void lines.push(line) },
    ...options,
  });
  return { log, lines, last: () => JSON.parse(lines.at(-1)!) };
}

test("a line has time, level, job and stage", () => {
  const { log, last } = collect();
  log.info({ job: "01J", stage: "deliver" }, "delivered");
  expect(last()).toEqual({
    level: "info",
    time: expect.stringMatching(/^\d{4}-.*Z$/),
    job: "01J",
    stage: "deliver",
    msg: "delivered",
  });
});

test("secrets are removed: by their field's name at any depth, by their look in any text", () => {
  const { log, lines, last } = collect();
  const child = log.child({ token: "s3cret" }).child({ worker: "mac", password: "s3cret" });
  child.warn(
    {
      to: {
        secret: "s3cret",
        Authorization: "s3cret",
        headers: { "x-anything": "s3cret" },
        list: [{ "webhook-signature": "s3cret" }],
      },
      wrapped: secret("s3cret"),
      url: "https://me:s3cret@example.com/",
      said: "Bearer s3cretToken and whsec_s3cret, 'x-amz-security-token:s3cret/+='",
    },
    "used whsec_s3cret",
  );
  expect(lines.join("")).not.toContain("s3cret");
  expect(last()).toMatchObject({ worker: "mac", wrapped: "[secret]", msg: "used whsec_[secret]" });
});

test.each([true, false])(
  "nothing in a line can steer a terminal or look like another line (pretty: %s)",
  (pretty) => {
    const { log, lines } = collect({ pretty });
    const hostile = "a\u001b[2J\u009b31m\u202e\u200b\ud800\n12:00:00 info  all is well";
    const fields = { job: "j", stage: hostile, [hostile]: hostile, deep: { [hostile]: [hostile] } };
    log.warn(fields, hostile);
    log.child(fields).info(hostile);
    log.error({ err: new KamadoError("invalid_input", hostile) }, "failed");
    for (const line of lines) expect(line.replaceAll("\n", "")).not.toMatch(/\p{C}/u);
    expect(
      lines
        .join("")
        .split("\n")
        .filter((line) => line.startsWith("12:00:00")),
    ).toEqual([]);
    expect(lines.slice(0, 2).map((line) => line.indexOf("\n") === line.length - 1)).toEqual([true, true]);
  },
);

test("token counts are not secret", () => {
  const { log, last } = collect();
  log.info({ receipt: { promptTokens: 3, cachedTokens: 0, completionTokens: 1 } }, "answered");
  expect(last().receipt).toEqual({ promptTokens: 3, cachedTokens: 0, completionTokens: 1 });
});

test("pictures are cut to their type and length", () => {
  const { log, lines, last } = collect();
  const image = `data:image/png;base64,${"iVBORw0K".repeat(2_000)}`;
  log.info({ image, nested: [{ image }], bytes: Buffer.alloc(9_000) }, `got ${image}`);
  expect(last().image).toBe(`data:image/png,… (${image.length} characters)`);
  expect(last().bytes).toBe("[9000 bytes]");
  expect(lines[0]!.length).toBeLessThan(500);
});

test("an error keeps its code, cause and stack, and loses its secrets", () => {
  const { log, last } = collect();
  const cause = new Error("refused Bearer abcdefgh");
  log.error(
    {
      err: new KamadoError("delivery_failed", "no", {
        cause,
        detail: { httpStatus: 500, ...{ headers: { a: "1" } } },
      }),
    },
    "failed",
  );
  expect(last().err).toMatchObject({
    code: "delivery_failed",
    detail: { httpStatus: 500, headers: "[secret]" },
  });
  expect(last().err.stack).toContain("log.test.ts");
  expect(JSON.stringify(last())).not.toContain("abcdefgh");
});

test("for people: one line for each event, with the stack below it", () => {
  const { log, lines } = collect({ pretty: true });
  log.info({ job: "01J", stage: "deliver", to: "sns:arn", tries: 2 }, "delivered");
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d info {2}deliver 01J delivered to=sns:arn tries=2\n$/);
  log.error({ err: new Error("oh") }, "failed");
  expect(lines[1]).toMatch(/ error failed\n {4}Error: oh\n.*at /);
  log.warn({ stage: "ended", stack: "TypeError: oh\n    at run (handlers/a-b.ts:3:1)" }, "retry: oh");
  expect(lines[2]).toMatch(/ ended retry: oh\n {4}TypeError: oh\n {8}at run \(handlers\/a-b\.ts:3:1\)\n$/);
});

test("for people: of a receipt only what is not empty", () => {
  const { log, lines } = collect({ pretty: true });
  log.info({ tries: 0, receipt: { model: null, requests: 0, attempts: 1, worker: "mini" } }, "failed");
  expect(lines[0]).toMatch(/ tries=0 receipt=\{"attempts":1,"worker":"mini"\}\n$/);
});

test("levels below the chosen one are silent", () => {
  const { log, lines } = collect({ level: "warn" });
  log.info("quiet");
  log.warn("heard");
  expect(lines).toHaveLength(1);
});

test("a secret is read by name and shown nowhere", () => {
  const one = secret("s3cret");
  expect(one.reveal()).toBe("s3cret");
  for (const shown of [`${one}`, JSON.stringify({ one }), inspect({ one }, { showHidden: true, depth: 5 })])
    expect(shown).not.toContain("s3cret");
});

test.each([
  "data:",
  "data:a,",
  "data:a;base64",
  "Bearer ",
  "Basic  ",
  "a://",
  "a://b:",
  "whsec_",
  "\u001b",
  "a",
  "\n",
])("a line takes steps in proportion to its text: %j", (pattern) => {
  const { log } = collect();
  expect(growthOf((text) => log.info(text), pattern, 5_000)).toBeLessThan(5);
});
