// What the worker's metrics say, and that no sender can make them grow.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import type { NewJobEvent } from "../../worker/logging/job-events.ts";
import { JobEvents } from "../../worker/logging/job-events.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { METRICS } from "../../worker/metrics/catalogue.ts";
import { createMetricsApi } from "../../worker/metrics/metrics-api.ts";
import { writeFamilies } from "../../worker/metrics/prometheus.ts";
import { WorkerMetrics } from "../../worker/metrics/worker-metrics.ts";
import { createDeadLetters } from "../../worker/queue/dead-letter.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig, failing, type Rig } from "../rig.ts";
import { type Samples, samplesIn } from "./text-format.ts";

const KINDS = ["work"];

function metricsOf({ worker }: Pick<Rig, "worker">) {
  const metrics = new WorkerMetrics({ isKind: (kind) => KINDS.includes(kind) });
  metrics.listen(worker.jobEvents);
  const api = createMetricsApi({
    families: async () => metrics.families({ state: worker.state(), worker: "rig" }),
  });
  const read = async (): Promise<Samples> => {
    const answer = await api.request("/");
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    return samplesIn(await answer.text());
  };
  return { metrics, read };
}

async function working(options: Parameters<typeof createRig>[0] = {}) {
  const rig = createRig(options);
  rig.worker.start();
  await rig.clock.advance(1_000);
  return { ...rig, ...metricsOf(rig) };
}

describe("jobs", () => {
  test("each is counted by kind and by how it ended, with the error's code", async () => {
    const { send, run, clock, complete, read } = await working();
    await send("good");
    await complete("good");
    await send("bad");
    await clock.advance(10);
    run("bad").fail(new KamadoError("invalid_input", "no"));
    await clock.advance(1_000);
    const samples = await read();
    expect(samples.of("kamado_jobs_total")).toEqual({
      'kind="work",outcome="succeeded"': 1,
      'kind="work",error_type="invalid_input",outcome="failed"': 1,
    });
    expect(samples.of("kamado_attempts_total")).toEqual({ 'kind="work"': 2 });
    const received = 'messaging_system="aws_sqs",messaging_operation_name="receive"';
    expect(samples.of("messaging_client_consumed_messages_total")).toEqual({ [received]: 2 });
  });

  test("their times are measured: in the queue, in the worker, and the run", async () => {
    const { clock, queue, worker, read, send, complete } = await (async () => {
      const rig = createRig();
      await rig.send("early");
      await rig.clock.advance(7_000);
      rig.worker.start();
      return { ...rig, ...metricsOf(rig) };
    })();
    await clock.advance(1_000);
    await complete("early");
    await send("late");
    await complete("late");
    const samples = await read();
    expect(queue.messages).toEqual([]);
    expect(worker.state().running).toBe(0);
    expect(samples.of("kamado_job_queue_duration_seconds_count")).toEqual({ 'kind="work"': 2 });
    expect(samples.of("kamado_job_queue_duration_seconds_bucket")['kind="work",le="5"']).toBe(1);
    expect(samples.of("kamado_job_run_duration_seconds_count")).toEqual({ 'kind="work"': 2 });
    expect(samples.of("messaging_process_duration_seconds_count")).toEqual({
      'messaging_system="aws_sqs",messaging_operation_name="process",kind="work"': 2,
    });
  });

  test("a stored result that is delivered again counts no tokens and no run twice", async () => {
    const { send, complete, clock, read } = await working();
    await send("once");
    await complete("once");
    await send("once");
    await clock.advance(1_000);
    const samples = await read();
    expect(samples.of("kamado_jobs_total")).toEqual({ 'kind="work",outcome="succeeded"': 2 });
    expect(samples.of("kamado_job_run_duration_seconds_count")).toEqual({ 'kind="work"': 1 });
  });

  test("what is no job counts as of an unknown kind", async () => {
    const { queue, clock, read } = await working();
    await queue.send("no JSON");
    await clock.advance(1_000);
    const samples = await read();
    expect(samples.of("kamado_jobs_total")).toEqual({
      'kind="unknown",error_type="malformed_json",outcome="failed"': 1,
    });
  });
});

describe("deliveries", () => {
  test("each try is counted by destination and by how it ended, and timed", async () => {
    const refuse = failing(() => new KamadoError("delivery_rejected", "no"));
    const { send, complete, read } = await working({
      deliver: async ({ destination }) => {
        if ("callback" in destination) await refuse();
      },
    });
    await send("one", { deliver: [{ callback: "https://a.example/x" }, { sqs: "https://b.example/q" }] });
    await complete("one");
    const samples = await read();
    const refused = 'destination="callback",outcome="refused",error_type="delivery_rejected"';
    expect(samples.of("kamado_deliveries_total")).toEqual({
      [refused]: 1,
      'destination="sqs",outcome="delivered"': 1,
    });
    expect(samples.of("kamado_delivery_duration_seconds_count")).toEqual({
      [refused]: 1,
      'destination="sqs",outcome="delivered"': 1,
    });
  });
});

describe("the worker's state", () => {
  test("it says what is up, which slots are busy and in which state the worker is", async () => {
    const { send, clock, read } = await working({ slots: 1 });
    await send("one");
    await send("two");
    await clock.advance(10);
    const samples = await read();
    expect(samples.of("kamado_worker_jobs")).toEqual({
      'state="running"': 1,
      'state="waiting"': 1,
      'state="delivering"': 0,
    });
    expect(samples.of("kamado_worker_slots")).toEqual({ "": 1 });
    expect(samples.of("kamado_worker_state")['state="BUSY"']).toBe(1);
    expect(samples.of("kamado_worker_state")['state="READY"']).toBe(0);
    expect(samples.of("kamado_up")).toEqual({
      'part="queue"': 1,
      'part="deliveries"': 1,
      'part="engine"': 1,
      'part="bucket"': 1,
      'part="start_check"': 1,
    });
    expect(samples.of("process_resident_memory_bytes")[""]).toBeGreaterThan(1e6);
  });

  test("an engine that is down is said", async () => {
    const engine = { isUp: false };
    const { read } = await working({ engine });
    expect((await read()).of("kamado_up")['part="engine"']).toBe(0);
  });
});

test("dead letters are counted when the queue has taken them, by reason", async () => {
  const { metrics } = metricsOf(createRig());
  const queue = new FakeQueue("dead");
  const clock = new FakeClock();
  const counted = metrics.counting("jobs", queue);
  const letters = createDeadLetters({ queue: counted, worker: "w", clock, log: silentLog });
  const message = {
    id: "m",
    queue: "q",
    body: "no JSON",
    handle: "h",
    sentAt: 0,
    receiveCount: 1,
    group: null,
  };
  const error = new KamadoError("malformed_json", "no");
  await letters.message(message, error);
  queue.next("send", { is: "fail" });
  await letters.message(message, error).catch(() => {});
  expect(textOf(metrics).of("kamado_dead_letters_total")).toEqual({
    'queue="jobs",error_type="malformed_json"': 1,
  });
});

test("of the machine it says what could be read, and which policy pauses pulling", () => {
  const { metrics } = metricsOf(createRig());
  const saying = (power: Parameters<typeof metrics.families>[0]["power"]) =>
    samplesIn(writeFamilies(metrics.families({ state: createRig().worker.state(), worker: "rig", power })));
  const reading = { at: 0, absent: { gpuWatts: "no right" }, gpuPercent: 50, cpuWatts: 4 };
  const known = saying({ reading, paused: { policy: "in_use", reason: "", since: 0 } });
  expect(known.of("hw_gpu_utilization_ratio")).toEqual({ "": 0.5 });
  expect(known.of("hw_power_watts")).toEqual({ 'hw_type="cpu"': 4 });
  expect(known.of("kamado_worker_paused")).toEqual({
    'policy="quiet_hours"': 0,
    'policy="temperature"': 0,
    'policy="in_use"': 1,
  });
  const unread = saying({ reading: null, paused: null });
  expect([...unread.families.keys()].filter((name) => /^hw_|_machine_/.test(name))).toEqual([]);
});

describe("requests to the engine", () => {
  test("they are timed, and their tokens are counted", () => {
    const { metrics } = metricsOf(createRig());
    const engine = { engine: "kamado", model: "m" };
    metrics.engineAsked({ ...engine, tookMs: 2_000, tokens: { input: 10, output: 3, cached: 4 } });
    metrics.engineAsked({ ...engine, model: null, tookMs: 1_000, error: "engine_busy" });
    const samples = textOf(metrics);
    const labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="kamado"';
    expect(samples.of("gen_ai_client_operation_duration_seconds_sum")).toEqual({
      [`${labels},gen_ai_response_model="m"`]: 2,
      [`${labels},error_type="engine_busy"`]: 1,
    });
    expect(samples.of("gen_ai_client_token_usage_sum")).toEqual({
      [`${labels},gen_ai_response_model="m",gen_ai_token_type="input"`]: 10,
      [`${labels},gen_ai_response_model="m",gen_ai_token_type="output"`]: 3,
      [`${labels},gen_ai_response_model="m",gen_ai_token_type="cached"`]: 4,
    });
  });
});

describe("hostile senders", () => {
  test("kinds, models, destinations and codes that somebody makes up do not add series without end", async () => {
    const rig = createRig();
    const { metrics, read } = metricsOf(rig);
    const events = new JobEvents(silentLog);
    metrics.listen(events);
    for (let n = 0; n < 5_000; n += 1) {
      const about = { job: `j${n}`, kind: `hostile-${n}"\n` };
      const emit = (event: object, facts = {}) =>
        events.emit({ ...about, ...event } as NewJobEvent, "", facts);
      emit(
        { stage: "received", message: `m${n}`, receives: 1 },
        { message: { sentAt: 0, receivedAt: n, group: null } },
      );
      emit({ stage: "started", attempt: 1 });
      const delivery = {
        to: `${n}:https://h${n}.example`,
        outcome: "failed",
        error: `made-up-${n}`,
        tookMs: 1,
      };
      emit({ stage: "delivery_failed", error: "delivery_failed" }, { delivery });
      emit({ stage: "ended", outcome: "rejected", ending: "delete", error: `made-up-${n}` });
      metrics.engineAsked({
        engine: `e${n}`,
        model: `m${n}`,
        tookMs: 1,
        tokens: { input: 1, output: 1, cached: 0 },
      });
    }
    const samples = await read();
    expect(samples.of("kamado_jobs_total")).toEqual({
      'kind="unknown",error_type="_OTHER",outcome="failed"': 5_000,
    });
    expect(samples.of("kamado_deliveries_total")).toEqual({
      'destination="unknown",outcome="failed",error_type="_OTHER"': 5_000,
    });
    expect(Object.keys(samples.of("gen_ai_client_operation_duration_seconds_count")).length).toBeLessThan(60);
    expect(samples.count).toBeLessThan(5_000);
  });
});

test("every metric has a name, a unit and words that no other metric has", () => {
  const all = Object.values(METRICS);
  expect(new Set(all.map(({ prometheus }) => prometheus)).size).toBe(all.length);
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  expect(METRICS.processed.prometheus).toBe("messaging_process_duration_seconds");
  expect(METRICS.jobs.prometheus).toBe("kamado_jobs_total");
});

const textOf = (metrics: WorkerMetrics): Samples => {
  const rig = createRig();
  const families = metrics.families({ state: rig.worker.state(), worker: "rig" });
  return samplesIn(writeFamilies(families));
};
