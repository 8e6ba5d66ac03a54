// `kamado worker` as one of several processes on a queue: it is stopped or killed, and another takes over. Nothing is lost.
import { describe, expect, test } from "vitest";
import { runKamado } from "./process.ts";
import { setUpWorkers, type Worker } from "./workers.ts";

const setup = setUpWorkers();
const startWorker = (variables: Record<string, string>) => setup().start(variables);
const send = (id: string) => setup().send(id);
const done = async (ids: string[]) => {
  const found = await Promise.all(ids.map((id) => setup().results.find(id)));
  return ids.filter((_, index) => found[index]?.status === "succeeded");
};
const LONG = { timeout: 60_000, interval: 100 };
/** How many jobs it has received. A job whose lease was lost is received again, but counts once. */
const receivedBy = ({ log }: Worker) =>
  new Set([...log().matchAll(/"stage":"received".*?"job":"([^"]+)"/g)].map(([, job]) => job)).size;

describe("SIGTERM in the middle of work", () => {
  test("finishes the running job, returns the others at once and exits with 0 in time; another worker does the others", async () => {
    const first = startWorker({
      KAMADO_SLOTS: "1",
      KAMADO_PREFETCH: "4",
      KAMADO_DRAIN_SECONDS: "30",
      KAMADO_SCRIPT: '{"waitMs": 5000}',
    });
    for (const id of ["a", "b", "c"]) await send(id);
    await expect.poll(() => receivedBy(first), LONG).toBe(1);
    first.child.kill("SIGTERM");
    expect((await first.exited)[0]).toBe(0);
    expect(first.log()).toContain("the open poll of the queue may take 1 s to end");
    expect(await done(["a", "b", "c"])).toHaveLength(1);
    const others = await setup().queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 0 });
    expect(others).toHaveLength(2);

    startWorker({});
    await expect.poll(() => done(["a", "b", "c"]), LONG).toEqual(["a", "b", "c"]);
  }, 120_000);

  test("cuts a job that runs past the deadline; another worker does it next", async () => {
    const first = startWorker({ KAMADO_DRAIN_SECONDS: "1", KAMADO_SCRIPT: '{"rules": [{"do": "hang"}]}' });
    await send("a");
    await expect.poll(() => first.log(), LONG).toContain('"stage":"received"');
    first.child.kill("SIGTERM");
    expect((await first.exited)[0]).toBe(0);
    expect(await done(["a"])).toEqual([]);
    startWorker({});
    await expect.poll(() => done(["a"]), LONG).toEqual(["a"]);
  }, 120_000);
});

test.each([
  ["Ctrl-C", "SIGINT"],
  ["a terminal that is closed", "SIGHUP"],
] as const)(
  "%s reaches every process of the group; the engine still finishes the running job",
  async (_, signal) => {
    const first = startWorker({ KAMADO_SCRIPT: '{"waitMs": 1500}' });
    // Two requests in turn: which todo it is and, because it is a new one, its title.
    const input = { text: "buy tea", todos: [{ id: 1, title: "pay the rent" }] };
    await setup().queue.send(JSON.stringify({ id: "a", kind: "todo.match", input }));
    await expect.poll(() => first.log(), LONG).toContain('"stage":"received"');
    process.kill(-first.child.pid!, signal);
    expect((await first.exited)[0]).toBe(0);
    expect(await done(["a"])).toEqual(["a"]);
  },
  120_000,
);

test("SIGKILL loses nothing: the jobs come back when their visibility ends, and no engine stays behind", async () => {
  const first = startWorker({ KAMADO_VISIBILITY_SECONDS: "3", KAMADO_SCRIPT: '{"rules": [{"do": "hang"}]}' });
  for (const id of ["a", "b"]) await send(id);
  await expect.poll(() => receivedBy(first), LONG).toBe(2);
  const enginePort = /"engine":"(http:[^"]+)"/.exec(first.log())?.[1];
  first.child.kill("SIGKILL");
  await first.exited;
  await expect
    .poll(
      () =>
        fetch(`${enginePort}/health`).then(
          () => "answers",
          () => "gone",
        ),
      LONG,
    )
    .toBe("gone");
  startWorker({});
  await expect.poll(() => done(["a", "b"]), LONG).toEqual(["a", "b"]);
}, 120_000);

test("an engine that dies costs only the job that killed it a retry; other jobs are done", async () => {
  const worker = startWorker({
    KAMADO_RETRY_SECONDS: "1",
    KAMADO_SCRIPT: '{"rules": [{"when": "bad", "do": "crash"}]}',
  });
  await send("bad");
  await expect.poll(() => worker.log(), LONG).toContain("engine_died");
  await send("good");
  await expect.poll(() => done(["good"]), LONG).toEqual(["good"]);
  expect(worker.child.exitCode).toBeNull();
}, 120_000);

test("a running job is canceled from the command line; canceling it again says how it ended", async () => {
  const cancel = async (id: string) => {
    const variables = {
      AWS_ENDPOINT_URL: setup().aws.endpoint,
      AWS_ACCESS_KEY_ID: "any",
      AWS_SECRET_ACCESS_KEY: "thing",
      KAMADO_QUEUE_URL: setup().aws.resources.jobsQueueUrl,
    };
    const { out, code } = await runKamado(["cancel", id, "--json"], variables);
    return { ...JSON.parse(out), code };
  };
  const worker = startWorker({ KAMADO_SCRIPT: '{"rules": [{"do": "hang"}]}' });
  await send("a");
  await expect.poll(() => worker.log(), LONG).toContain('"stage":"received"');
  expect(await cancel("a")).toEqual({ id: "a", is: "running", code: 0 });
  await expect.poll(async () => (await setup().results.find("a"))?.status, LONG).toBe("canceled");
  expect(await cancel("a")).toEqual({ id: "a", is: "ended", status: "canceled", code: 1 });
  expect(await cancel("b")).toMatchObject({ is: "waiting", code: 0 });
}, 120_000);
