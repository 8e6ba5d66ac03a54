// Looks at the worker every few seconds and tells a person of trouble. Runs beside the jobs and waits for none of its own messages, so it
// holds nothing up. What counts as trouble is in conditions.ts, when it is told in episodes.ts, how in channels.ts.
import type { Clock } from "../async/clock.ts";
import { type KamadoError, toKamadoError } from "../errors.ts";
import type { JobEvent } from "../logging/job-events.ts";
import type { Log } from "../logging/log.ts";
import { type Channel, ChannelOutbox } from "./channels.ts";
import {
  CONDITIONS,
  type Condition,
  type ConditionName,
  type Conditions,
  conditionsOf,
  type DeadLetters,
  type Watched,
} from "./conditions.ts";
import { look, type Note, openOf } from "./episodes.ts";
import { readTold, type Told, writeTold } from "./told-file.ts";

const LOOK_MS = 10_000;
const ASK_MS = 60_000;
/** What costs calls to AWS is asked rarely, sooner after a job or a delivery failed. */
const COUNT_MS = 300_000;
const SOON_MS = 60_000;
/** A process that ends waits so long for its last message. */
const LAST_MS = 5_000;
const STAGE = "trouble";

export type TroubleOptions = {
  state(): Watched;
  /** Has the engine asked whether it answers: while no job comes, nobody else does. */
  askEngine(): void;
  /** About how many dead letters of each kind there are. May throw. */
  countDead(): Promise<{ jobs: number; deliveries: number }>;
  /** The destinations that are turned off, as they may be shown. May throw. */
  listOff(): Promise<readonly string[]>;
  channels: readonly Channel[];
  dataDir: string;
  clock: Clock;
  log: Log;
};

export class TroubleWatch {
  readonly #options: TroubleOptions;
  readonly #outboxes: readonly ChannelOutbox[];
  readonly #stopping = new AbortController();
  readonly #warned = new Set<string>();
  /** Told, but it has not arrived anywhere yet: after a restart it is told again. */
  readonly #onTheirWay = new Map<ConditionName, Note>();
  #told: Told;
  #dead: { jobs: number; deliveries: number } | null = null;
  #off: readonly string[] | null = null;
  #countedAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #isDueSoon = false;
  #counting: Promise<void> | undefined;
  #watching: Promise<void> | undefined;

  constructor(options: TroubleOptions) {
    this.#options = options;
    this.#outboxes = options.channels.map((channel) => new ChannelOutbox(channel, options));
    this.#told = options.channels.length === 0 ? { episodes: {}, dead: {} } : readTold(options.dataDir);
  }

  /** Does nothing where nobody is to be told. */
  start(): void {
    if (this.#outboxes.length > 0) this.#watching ??= this.#watch();
  }

  /** A listener to job events: what failed may have left a dead letter, or turned a destination off. */
  onEvent(event: JobEvent): void {
    if (event.stage === "delivery_failed" || (event.stage === "ended" && event.outcome === "rejected"))
      this.#isDueSoon = true;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#watching, ...this.#outboxes.map((outbox) => outbox.stop())]);
  }

  /** For a process that ends because of it. Resolves when it has arrived, or after some seconds. */
  async tellLast(condition: Condition): Promise<void> {
    if (this.#outboxes.length === 0) return;
    const others: Conditions = Object.fromEntries(CONDITIONS.map((name) => [name, null]));
    this.#look({ ...others, [condition.name]: condition }, 0);
    const sent = Promise.all(this.#outboxes.map((outbox) => outbox.idle()));
    await Promise.race([sent, this.#options.clock.sleep(LAST_MS)]);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#askEngine();
      // Not waited for: while the network is down, it is the queue that must be told.
      this.#counting ??= this.#count().finally(() => {
        this.#counting = undefined;
      });
      const { dead } = this.#told;
      const found = {
        state: this.#options.state(),
        deadJobs: deadOf(this.#dead?.jobs, dead.jobs),
        deadDeliveries: deadOf(this.#dead?.deliveries, dead.deliveries),
        off: this.#off,
      };
      this.#look(conditionsOf(found, openOf(this.#told.episodes)));
      await this.#options.clock.sleep(LOOK_MS, signal);
    }
  }

  #askEngine(): void {
    const { askEngine, clock } = this.#options;
    if (clock.now() - this.#askedAt < ASK_MS) return;
    this.#askedAt = clock.now();
    askEngine();
  }

  #look(conditions: Conditions, holdMs?: number): void {
    const { episodes, notes } = look(this.#told.episodes, conditions, this.#options.clock.wall(), holdMs);
    const isChanged = JSON.stringify(episodes) !== JSON.stringify(this.#told.episodes);
    this.#told = { ...this.#told, episodes };
    for (const note of notes) this.#tell(note);
    if (isChanged) this.#save();
  }

  #tell(note: Note): void {
    const { is, condition } = note;
    const text = `${is === "over" ? "over: " : ""}${condition.title}. ${condition.message} ${condition.hint}`;
    this.#options.log.info({ stage: STAGE, condition: condition.name }, text.trim());
    this.#onTheirWay.set(condition.name, note);
    const arrived = () => {
      if (this.#onTheirWay.get(condition.name) === note) this.#onTheirWay.delete(condition.name);
      this.#save();
    };
    for (const outbox of this.#outboxes) outbox.push(note, arrived);
  }

  #save(): void {
    const episodes = { ...this.#told.episodes };
    for (const [name, { is }] of this.#onTheirWay) if (is !== "over") delete episodes[name];
    if (!writeTold(this.#options.dataDir, { ...this.#told, episodes }))
      this.#warn(
        "file",
        `${this.#options.dataDir} cannot be written: after a restart trouble may be told again`,
      );
  }

  async #count(): Promise<void> {
    const { clock } = this.#options;
    const since = clock.now() - this.#countedAt;
    if (since < (this.#isDueSoon ? SOON_MS : COUNT_MS)) return;
    this.#countedAt = clock.now();
    this.#isDueSoon = false;
    const unknown = (what: string) => (thrown: unknown) =>
      this.#cannot(what, toKamadoError(thrown, "queue_unavailable"));
    const [dead, off] = await Promise.all([
      this.#options.countDead().catch(unknown("the dead letters cannot be counted")),
      this.#options.listOff().catch(unknown("destinations that are turned off cannot be listed")),
    ]);
    this.#dead = dead;
    this.#off = off;
    if (dead) this.#compareWith(dead);
  }

  /** Those that were there at the first look are no news; those that went are news when they come again. */
  #compareWith(now: { jobs: number; deliveries: number }): void {
    const { jobs = now.jobs, deliveries = now.deliveries } = this.#told.dead;
    const dead = { jobs: Math.min(jobs, now.jobs), deliveries: Math.min(deliveries, now.deliveries) };
    const isChanged = JSON.stringify(dead) !== JSON.stringify(this.#told.dead);
    this.#told = { ...this.#told, dead };
    if (isChanged) this.#save();
  }

  #cannot(what: string, { message }: KamadoError): null {
    if (!this.#stopping.signal.aborted) this.#warn(what, `${what}, so they are not told: ${message}`);
    return null;
  }

  #warn(key: string, text: string): void {
    if (this.#warned.has(key)) return;
    this.#warned.add(key);
    this.#options.log.info({ stage: STAGE }, text);
  }
}

const deadOf = (now: number | undefined, before: number | undefined): DeadLetters | null =>
  now === undefined ? null : { now, before: before ?? now };
