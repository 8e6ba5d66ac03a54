// A crowd of jobs that each end the engine, among honest ones: how long do the honest ones wait? All of the worker is real; the
// engine is simulated: it ends with everything it runs as soon as such a job has run for half a second, waits as its supervisor
// does, and loads its model. The clock is virtual.
import { expect, test } from "vitest";
import { backoffMs } from "../../worker/async/backoff.ts";
import { KamadoError } from "../../worker/errors.ts";
import { createRig, type Rig, type Run } from "../rig.ts";

const SECOND = 1_000;
const STEP_MS = 100;
const POISON_MS = 500;
const HONEST_MS = 2 * SECOND;
const LOAD_MS = 3 * SECOND;
const SLOTS = 8;

/** As the supervisor waits, without jitter. */
const pauseMs = (failures: number) => backoffMs(failures, { baseMs: 500, maxMs: 30_000, random: () => 1 });

/** The engine and its supervisor. */
class SimulatedEngine {
  isUp = true;
  slots = SLOTS;
  deaths = 0;
  rig!: Rig;
  #upSince = 0;
  #failures = 0;
  #isExplained = false;
  #restartAt = Infinity;
  readonly #begun = new Map<Run, number>();
  #taken = 0;

  /** What the worker calls when its own jobs explain a death. */
  restartSoon = () => {
    this.#isExplained = true;
    if (!this.isUp) this.#restartAt = Math.min(this.#restartAt, this.rig.clock.now() + pauseMs(1) + LOAD_MS);
  };

  /** Everything that happens at one moment. */
  step(): void {
    const now = this.rig.clock.now();
    if (!this.isUp && now >= this.#restartAt) this.#start(now);
    for (; this.#taken < this.rig.runs.length; this.#taken++) this.#take(this.rig.runs[this.#taken]!, now);
    const lasts = (run: Run) => now - this.#begun.get(run)!;
    const running = [...this.#begun.keys()];
    if (running.some((run) => isPoison(run.input.name) && lasts(run) >= POISON_MS)) this.#die(now);
    else for (const run of running) if (lasts(run) >= HONEST_MS) this.#end(run, () => run.finish());
  }

  #start(now: number): void {
    [this.isUp, this.#upSince, this.#restartAt] = [true, now, Infinity];
    this.#isExplained = false;
  }

  #take(run: Run, now: number): void {
    if (this.isUp) this.#begun.set(run, now);
    else run.fail(new KamadoError("engine_unavailable", "ECONNREFUSED"));
  }

  #die(now: number): void {
    this.isUp = false;
    this.deaths += 1;
    const lasted = now - this.#upSince > 30 * SECOND;
    this.#failures = lasted || this.#isExplained ? 1 : this.#failures + 1;
    this.#restartAt = now + pauseMs(this.#failures) + LOAD_MS;
    for (const run of this.#begun.keys())
      this.#end(run, () => run.fail(new KamadoError("engine_died", "The engine ended.")));
  }

  #end(run: Run, end: () => void): void {
    this.#begun.delete(run);
    end();
  }
}

const isPoison = (name: string) => name.startsWith("poison");

/** Sends the crowd first, then two honest jobs a second, and resolves with how long each honest job took. */
async function crowd(poison: number, poisonKind: string) {
  const engine = new SimulatedEngine();
  const rig = createRig({ slots: SLOTS, prefetch: SLOTS, engine, kinds: ["odd"] });
  engine.rig = rig;
  const sentAt = new Map<string, number>();
  const took = new Map<string, number>();
  rig.jobEvents.subscribe((event) => {
    if (event.stage === "stored" && !took.has(event.job))
      took.set(event.job, (rig.clock.now() - sentAt.get(event.job)!) / SECOND);
  });
  const send = async (name: string, kind: string) => {
    sentAt.set(name, rig.clock.now());
    await rig.send(name, { kind });
  };
  rig.consumer.start();
  await send("proof", "work");
  for (let ms = 0; ms < 14_400 * SECOND && took.size < poison + 101; ms += STEP_MS) {
    if (ms === 10 * SECOND) for (let i = 0; i < poison; i++) await send(`poison-${i}`, poisonKind);
    const honest = (ms - 10 * SECOND) / (SECOND / 2);
    if (Number.isInteger(honest) && honest >= 0 && honest < 100) await send(`honest-${honest}`, "work");
    await rig.clock.advance(STEP_MS);
    engine.step();
  }
  const times = [...took].filter(([name]) => name.startsWith("honest")).map(([, time]) => time);
  const statuses = new Set(
    [...sentAt.keys()].map((name) => `${isPoison(name) ? "poison" : "honest"} ${rig.stored(name)?.status}`),
  );
  return {
    p95: times.toSorted((a, b) => a - b)[94]!,
    worst: Math.max(...times),
    deaths: engine.deaths,
    statuses,
  };
}

const FAILED = new Set(["honest succeeded", "poison failed"]);

test("honest jobs alone wait for nobody", async () => {
  const { p95, deaths, statuses } = await crowd(0, "work");
  expect([p95 < 3, deaths, statuses]).toEqual([true, 0, new Set(["honest succeeded"])]);
}, 120_000);

test("19 jobs of a kind of their own that each end the engine hold up 100 honest ones for seconds, bystanders too", async () => {
  const { p95, worst, deaths, statuses } = await crowd(19, "odd");
  expect(statuses).toEqual(FAILED);
  expect(p95).toBeLessThan(30);
  expect(worst).toBeLessThan(120);
  expect(deaths).toBeLessThan(45);
}, 120_000);

test("19 of the honest jobs' own kind hold up none but those that ran beside them", async () => {
  const { p95, worst, deaths, statuses } = await crowd(19, "work");
  expect(statuses).toEqual(FAILED);
  expect(p95).toBeLessThan(30);
  expect(worst).toBeLessThan(600);
  expect(deaths).toBeLessThan(45);
}, 120_000);
