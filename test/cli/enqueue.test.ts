// `kamado enqueue`: what is wrong with the command is said at once; with --wait it tells how the job and its deliveries ended.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { whyNoResult } from "../../worker/cli/commands/enqueue.ts";
import { type Receiver, startReceiver, status } from "../fakes/receiver.ts";
import { runKamado, served } from "./process.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-enqueue-"));
const here = { KAMADO_DATA_DIR: folder };
let receiver: Receiver;
let service: Awaited<ReturnType<typeof served>>;

beforeAll(async () => {
  receiver = await startReceiver(status(200));
  const file = join(folder, "destinations.json");
  writeFileSync(file, JSON.stringify([{ match: receiver.url, allowPrivate: true }]));
  service = await served(["--in-memory"], {
    ...here,
    KAMADO_DESTINATIONS_FILE: file,
    KAMADO_DELIVERY_DELAYS: "0,3600",
  });
});
afterAll(async () => {
  service?.child.kill("SIGTERM");
  await service?.exited;
  await receiver?.close();
});

const enqueue = (...args: string[]) =>
  runKamado(["enqueue", "prompt", "--input", "-", ...args], here, { input: '{"prompt": "hello"}' });

test.each([
  [["--expires-in", "soon"], "must be a number from 0 to 1209600"],
  [["--expires-in", "1e300"], "must be a number"],
  [["--expires-in", "-5"], "must be a number"],
  [["--wait", "many"], "must be a number"],
  [["--wait", "NaN"], "must be a number"],
  [["--wait", "Infinity"], "must be a number"],
  [["--timeout", "long"], "must be a number from 1 to 39600"],
  [["--timeout", "0"], "must be a number from 1 to 39600"],
  [["--tenant", "two words"], "policy.tenant: expected 1 to 128 letters"],
  [["--priority", "high"], "must be a whole number from 0 to 9"],
  [["--priority", "1.5"], "must be a whole number from 0 to 9"],
  [["--priority", "10"], "must be a whole number from 0 to 9"],
  [["--deliver", "foo=bar"], '--deliver "foo" is no kind of destination; give it as sns=ARN'],
  [["--deliver", "https://example.org"], '--deliver "https://example.org" has no =; give it as'],
  [["--deliver", "callback=example"], "--deliver callback=… is no URL"],
  [["--deliver", "sns=topic"], "--deliver sns=… is no ARN"],
  [["--deliver", "=x"], '--deliver "" is no kind of destination'],
  [["--id", "a b"], "id: expected 1 to 128 letters"],
])(
  "a flag that is wrong ends the command with what is allowed: %j",
  async (args, words) => {
    const { out, errors, code } = await enqueue(...args);
    expect({ out, code, errors }).toEqual({ out: "", code: 2, errors: expect.stringContaining(words) });
    // Neither a stack nor advice about a job that was sent.
    expect(errors).not.toMatch(/^ +at |RangeError|[Ss]end the job|Send one JSON/m);
  },
  60_000,
);

test("waits for the deliveries: all of them taken is 0, one refused is 4, one that is tried again is said", async () => {
  const to = (path: string) => ["--deliver", `callback=${receiver.url}${path}`];
  receiver.respond(({ path }, response) => {
    response.writeHead(path === "/refuses" ? 400 : path === "/fails" ? 500 : 200).end();
  });
  const [taken, refused, failing] = await Promise.all([
    enqueue("--wait", "60", ...to("/ok")),
    enqueue("--wait", "60", ...to("/ok"), ...to("/refuses")),
    enqueue("--wait", "60", ...to("/fails")),
  ]);
  expect(taken).toMatchObject({ code: 0, out: expect.stringContaining("hello") });
  expect(taken.errors).not.toContain("kamado:");
  expect(refused).toMatchObject({ code: 4, out: expect.stringContaining("hello") });
  expect(refused.errors).toMatch(/not delivered to callback:\S+\/refuses \(delivery_rejected, HTTP 400\)/);
  expect(refused.errors).not.toContain("/ok");
  expect(failing).toMatchObject({
    code: 0,
    errors: expect.stringMatching(/to callback:\S+\/fails failed .*HTTP 500.* is tried again at 20/),
  });
}, 120_000);

test("the result of a job of another kind under the same id is not shown as this job's", async () => {
  expect((await enqueue("--id", "taken", "--wait", "60")).code).toBe(0);
  const other = await runKamado(
    ["enqueue", "todo.match", "--input", "-", "--id", "taken", "--wait", "60"],
    here,
    {
      input: '{"text": "buy milk", "todos": []}',
    },
  );
  expect(other).toMatchObject({
    out: "",
    code: 2,
    errors: expect.stringMatching(/duplicate_id.*another kind or input/),
  });
}, 60_000);

test("with nothing running it says how to start Kamado, and nothing waits", async () => {
  const alone = { KAMADO_DATA_DIR: mkdtempSync(join(tmpdir(), "kamado-alone-")), KAMADO_LOCAL_PORT: "1" };
  const { errors, code } = await runKamado(["enqueue", "prompt", "--input", "-", "--wait"], alone, {
    input: "{}",
  });
  expect({ errors, code }).toEqual({
    code: 3,
    errors: expect.stringMatching(/No Kamado runs on this machine[\s\S]*npm start/),
  });
}, 60_000);

test.each([
  ["runs", { current: [{ id: "01J", kind: "prompt", since: 0 }], jobs: [] }, "it still runs"],
  [
    "failed once",
    { current: [], jobs: [{ id: "01J", kind: "prompt", outcome: "retry", at: 0, error: "handler_failed" }] },
    "its last attempt failed with handler_failed, and it is tried again",
  ],
  ["has not begun", { current: [], jobs: [] }, "it waits in the queue"],
  ["may be at a worker elsewhere", null, "it waits in the queue or runs"],
])("--wait says of a job without a result that it %s", (_, state, words) => {
  expect(whyNoResult("01J", state)).toBe(words);
});
