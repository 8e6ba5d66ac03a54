// Looks every few seconds whether a policy pauses pulling, and is what consumers ask before they pull. A pause is not unhealthy: jobs that
// run go on, deliveries too. The log says each change once, and once that a policy has no effect. When to pause is decided in policies.ts.
import { unlessAborted } from "../async/abort.ts";
import type { Clock } from "../async/clock.ts";
import type { Log } from "../logging/log.ts";
import { localTime } from "../logging/terminal.ts";
import {
  decide,
  figuresFor,
  type Ineffective,
  type Pause,
  type PolicySettings,
  type Seen,
} from "./policies.ts";
import type { PowerReader } from "./power-reader.ts";

const LOOK_MS = 10_000;
/** A pause that lasts longer than this is no reason to hold messages that another worker could run. */
const LONG_MS = 300_000;
const STAGE = "pause";

type Options = { settings: PolicySettings; reader: Pick<PowerReader, "read">; clock: Clock; log: Log };

export class PullingPause {
  readonly #options: Options;
  readonly #stopping = new AbortController();
  readonly #warned = new Set<string>();
  #changed = Promise.withResolvers<void>();
  #seen: Seen = {};
  /** False until the first look: a job that starts before it could be one too many. */
  #hasLooked: boolean;
  #watching: Promise<void> | undefined;
  #pause: (Pause & { since: number }) | null = null;
  /** Policies without effect. */
  ineffective: readonly Ineffective[] = [];

  constructor(options: Options) {
    this.#options = options;
    this.#hasLooked = !this.#hasPolicies;
  }

  get #hasPolicies(): boolean {
    const { settings } = this.#options;
    return settings.quietHours.length > 0 || figuresFor(settings).length > 0;
  }

  /** `since`: epoch milliseconds. */
  get pause(): (Pause & { since: number }) | null {
    return this.#pause;
  }

  get isHealthy(): boolean {
    return this.#hasLooked && this.#pause === null;
  }

  /** Whether messages that wait here had better go back. */
  get isLong(): boolean {
    const { until } = this.#pause ?? {};
    return until !== undefined && until - this.#options.clock.wall() > LONG_MS;
  }

  async healthy(signal: AbortSignal): Promise<void> {
    while (!this.isHealthy && !signal.aborted)
      await unlessAborted(this.#changed.promise, signal).catch(() => {});
  }

  start(): void {
    if (this.#hasPolicies) this.#watching ??= this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await unlessAborted(this.#look(), signal).catch(() => {});
      await this.#options.clock.sleep(LOOK_MS, signal);
    }
  }

  async #look(): Promise<void> {
    const { settings, reader, clock } = this.#options;
    const figures = figuresFor(settings);
    const reading = figures.length === 0 ? null : await reader.read(figures);
    const decision = decide(settings, { reading, now: clock.now(), wall: clock.wall() }, this.#seen);
    this.#seen = decision.seen;
    this.ineffective = decision.ineffective;
    for (const one of decision.ineffective) this.#warn(one);
    this.#become(decision.pause);
    this.#hasLooked = true;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #warn({ setting, reason }: Ineffective): void {
    if (this.#warned.has(setting)) return;
    this.#warned.add(setting);
    this.#options.log.warn({ stage: STAGE }, `${setting} has no effect: ${reason}`);
  }

  #become(pause: Pause | null): void {
    const { clock, log } = this.#options;
    const before = this.#pause;
    if (pause === null) {
      this.#pause = null;
      if (before) log.info({ stage: STAGE }, "the pause is over: jobs are pulled again");
      return;
    }
    this.#pause = { ...pause, since: before?.policy === pause.policy ? before.since : clock.wall() };
    if (before?.policy === pause.policy && before.until === pause.until) return;
    log.info(
      { stage: STAGE, policy: pause.policy },
      `${pauseWords(pause)}; jobs stay in the queue, running jobs go on`,
    );
  }
}

/** `paused: quiet hours until 07:00`. */
export const pauseWords = ({ reason, until }: Pick<Pause, "reason" | "until">): string =>
  `paused: ${reason}${until === undefined ? "" : `, until ${localTime(until).slice(11, 16)}`}`;
