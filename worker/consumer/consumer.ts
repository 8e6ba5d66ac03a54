// Consumes one queue: pulls by free slots, keeps a few messages in a prefetch buffer, runs them, and drains on stop. It owns
// the leases of its messages, their heartbeat and their acks. It knows neither jobs nor deliveries: what a message means is
// decided by `work`, which resolves with what becomes of the message.
import { unlessAborted, whenAborted } from "../async/abort.ts";
import { backoffMs } from "../async/backoff.ts";
import { type Clock, momentOf } from "../async/clock.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import { hintFor, QUEUE_HINTS, type QueueHealth } from "../queue/health.ts";
import { isFifo, type Message, type Queue } from "../queue/queue.ts";
import { Acks, type Ending } from "./acks.ts";
import type { Health } from "./health-check.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { Lease } from "./lease.ts";
import { howManyToPull, MAX_BATCH, PrefetchBuffer, secondsAside, type Turn } from "./prefetch-buffer.ts";
import { type Tenant, TenantShares } from "./tenant-shares.ts";
import { type Share, type Slots, WeightedSlots } from "./weighted-slots.ts";

/** What `work` gets besides its message. */
export type RunControls = {
  /** Fires when a stop no longer waits for running work. */
  cut: AbortSignal;
  /** Fires when a stop begins, for work that loses nothing when it is interrupted. */
  stopping: AbortSignal;
  /**
   * Lets another message start although this one is not finished; its lease is renewed all the same. It does nothing before `work`
   * has first waited for something.
   */
  freeSlot(): void;
};

export type ConsumerOptions = {
  queue: Queue;
  /** Slots and prefetch. Read before every pull, because the engine's slots are known only when it answers. */
  concurrency: Slots;
  /** Shared with the consumers of other queues; `weight` decides who gets how many. */
  slots?: WeightedSlots;
  weight?: number;
  visibilitySeconds: number;
  pollSeconds: number;
  /** Works on one message and resolves with what becomes of it. Must not throw. */
  work(lease: Lease, controls: RunControls): Promise<Ending>;
  /** What decides which of the messages that wait is next [all the same]. */
  turnOf?(message: Message): Turn;
  /** How many messages it may hold while it looks for those of other tenants [0: it does not look]. */
  lookAhead?: number;
  /** What must answer before anything is pulled or started. */
  health?: readonly Health[];
  /** The queue answers, after it did not, but for too many calls. Called before anything that it gave is started. */
  onAnswersAgain?(): void;
  clock: Clock;
  log: Log;
};

/** Short enough that a queue that is back is used again within half a minute. */
const POLL_BACKOFF = { baseMs: 500, maxMs: 25_000 };
/** Messages that were pulled before the engine went down wait this long for it. Longer than most models take to load. */
const STAND_BY_MS = 300_000;
/** After the deadline of a stop: time for the calls that give back what was cut. */
const LAST_CALLS_MS = 5_000;
/** `work` failed unexpectedly: the message comes back after this. */
const AFTER_BUG_SECONDS = 60;
/** So many messages may be finishing without a slot. One more keeps its slot, so that the messages in memory stay bounded. */
const MOST_FINISHING = 64;
/** A message that names a tenant was received so long ago: others may come. */
const TENANTS_MS = 3_600_000;
/** While there is more, so many polls ahead go out together: what is behind a thousand messages is a hundred polls away. */
const LOOKS_AT_ONCE = 4;
/** After a poll that brought all there was: so long until it looks ahead again. Short beside a job, and long enough for several messages. */
const LOOK_AGAIN_MS = 250;
/** Of the bodies that are set aside; beyond it does not look ahead. */
const MOST_CHARACTERS_ASIDE = 32 * 1024 * 1024;

/** What to ask the queue for. */
type Want = { max: number; looksAhead: boolean };

export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #heartbeat: Heartbeat;
  readonly #acks: Acks;
  readonly #stopPulling = new AbortController();
  readonly #cutWork = new AbortController();
  readonly #underWay = new Map<Lease, Promise<void>>();
  /** Those of them that have given up their slot. */
  readonly #finishing = new Set<Lease>();
  readonly #buffer: PrefetchBuffer;
  readonly #share: Share;
  readonly #tenants: TenantShares;
  /** Until then it looks ahead for messages of other tenants, and not before. On the monotonic clock. */
  #look = { from: 0, until: Number.NEGATIVE_INFINITY, hasMore: false };
  #roomCame = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  /** Set while buffered messages wait for what they need to answer. */
  #standingBy: Promise<void> | undefined;
  health: QueueHealth = "ok";
  /** Why the last poll failed; null when it did not. */
  cause: KamadoError | null = null;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#heartbeat = new Heartbeat(options);
    this.#acks = new Acks({ ...options, heartbeat: this.#heartbeat });
    const slots = options.slots ?? new WeightedSlots(options.concurrency);
    this.#share = slots.share(options.weight ?? 1, {
      start: () => this.#startOne(),
      onRoom: () => this.#roomCame.resolve(),
    });
    this.#tenants = new TenantShares(() => options.clock.now());
    this.#buffer = new PrefetchBuffer({
      turnOf: options.turnOf ?? (() => ({ priority: 0, tenant: null })),
      shares: this.#tenants,
      prefetch: () => this.#share.prefetch,
      keep: (lease) => this.#heartbeat.keep(lease),
      onExpired: (lease) => this.#heartbeat.drop(lease),
      onLeave: (lease) => {
        if (!lease.isLost) void this.#acks.release(lease, 0);
        this.#roomCame.resolve();
      },
    });
  }

  /** Messages that have a slot. */
  get running(): number {
    return this.#underWay.size - this.#finishing.size;
  }
  /** Messages whose work goes on without a slot. */
  get finishing(): number {
    return this.#finishing.size;
  }
  get waiting(): number {
    return this.#buffer.size;
  }

  /** Whose messages wait here and run. */
  get tenants(): { tenant: Tenant; waiting: number; running: number }[] {
    return this.#tenants.list();
  }

  start(): void {
    this.#heartbeat.start();
    this.#loop ??= this.#pull();
  }

  /**
   * Two signals, never one: first pulling stops and messages that have not started go back; work that still runs after
   * `deadlineMs` is cut. Waits for both. May be called twice, and before start.
   */
  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#drain(deadlineMs);
    return this.#stopped;
  }

  /** Ends the wait of a stop that is under way. */
  cut(): void {
    this.#cutWork.abort(new KamadoError("stopping", "The worker stops."));
  }

  async #drain(deadlineMs: number): Promise<void> {
    this.#stopPulling.abort(new KamadoError("stopping", "The worker stops."));
    this.#roomCame.resolve();
    const finished = new AbortController();
    void this.#options.clock.sleep(deadlineMs, finished.signal).then(() => this.cut());
    // A queue that cannot be reached must not hold up a stop: messages that cannot be given back come back by themselves.
    await Promise.race([this.#finishAll(), this.#lastCalls(finished.signal)]);
    finished.abort();
    await this.#heartbeat.stop();
  }

  async #finishAll(): Promise<void> {
    await this.#giveBackWaiting();
    await this.#loop;
    while (this.#underWay.size > 0) await Promise.all(this.#underWay.values());
    await this.#acks.idle();
  }

  /** Resolves when work that was cut, and an open poll, have had their time. */
  async #lastCalls(finished: AbortSignal): Promise<void> {
    const { clock, pollSeconds } = this.#options;
    await whenAborted(this.#cutWork.signal);
    await clock.sleep(pollSeconds * 1_000 + LAST_CALLS_MS, finished);
  }

  async #pull(): Promise<void> {
    const { signal } = this.#stopPulling;
    let failures = 0;
    while (!signal.aborted) {
      await this.#healthy(signal);
      const want = await this.#untilWanted();
      // A slot may become free hours later.
      if (!this.#isHealthy) continue;
      // After a sleep, others may have the messages we hold: ask about those before pulling more.
      if (this.#heartbeat.areInDoubt())
        await unlessAborted(this.#heartbeat.certain(), signal).catch(() => {});
      if (signal.aborted) return;
      failures = (await this.#receive(want)) ? 0 : failures + 1;
      if (failures > 0) await this.#options.clock.sleep(backoffMs(failures, POLL_BACKOFF), signal);
    }
  }

  /** Waits until there is room for more, or something to look for. */
  async #untilWanted(): Promise<Want> {
    for (;;) {
      const { slots, prefetch } = this.#share;
      const want = howManyToPull({ slots, prefetch, taken: this.#buffer.kept + this.running });
      const untilLook = this.#untilLook();
      if (untilLook === 0) return { max: MAX_BATCH, looksAhead: true };
      if (want > 0 || this.#stopPulling.signal.aborted) return { max: want, looksAhead: false };
      const came = Promise.withResolvers<void>();
      this.#roomCame = came;
      const over = new AbortController();
      if (untilLook !== null)
        void this.#options.clock.sleep(Math.ceil(untilLook), over.signal).then(came.resolve);
      await came.promise;
      over.abort();
    }
  }

  /**
   * A tenant who has sent much must not keep the messages of others out of sight: a queue may give them in order. Milliseconds until it may
   * look ahead; null while there is no reason to, or no place.
   */
  #untilLook(): number | null {
    const { clock, lookAhead = 0 } = this.#options;
    const now = clock.now();
    if (now >= this.#look.until && !this.#tenants.areNamed) return null;
    if (this.#buffer.size + MAX_BATCH > lookAhead) return null;
    if (this.#buffer.charactersAside > MOST_CHARACTERS_ASIDE) return null;
    return Math.max(0, this.#look.from - now);
  }

  /** One poll, or several while it looks ahead. False when the queue could not be reached. */
  async #receive({ max, looksAhead }: Want): Promise<boolean> {
    const { queue, clock, pollSeconds, visibilitySeconds } = this.#options;
    const since = momentOf(clock);
    // A batch of a FIFO queue may be of one group, which runs one by one. If one fails, those behind it go back, and each
    // time they are nearer to the dead-letter queue. So they are pulled one at a time.
    const atOnce = isFifo(queue) ? 1 : max;
    const polls = looksAhead ? this.#looksAtOnce() : 1;
    const waitSeconds = polls > 1 ? 0 : pollSeconds;
    const answers = await Promise.allSettled(
      Array.from({ length: polls }, () => queue.receive({ max: atOnce, waitSeconds, visibilitySeconds })),
    );
    const messages = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    const leases = messages.map((message) => this.#heartbeat.take(message, since));
    const failed = answers.find(({ status }) => status === "rejected");
    if (!failed && this.health !== "ok") this.#answersAgain();
    this.#takeIn(leases, looksAhead ? this.#room() : undefined);
    this.#look.hasMore = messages.length === polls * atOnce;
    if (!this.#look.hasMore) this.#look.from = clock.now() + LOOK_AGAIN_MS;
    if (failed)
      this.#unreachable(toKamadoError((failed as PromiseRejectedResult).reason, "queue_unavailable"));
    if (this.#stopPulling.signal.aborted) await this.#giveBackWaiting();
    else this.#startWaiting();
    return !failed;
  }

  #looksAtOnce(): number {
    const { lookAhead = 0 } = this.#options;
    const hasPlace = this.#buffer.size + LOOKS_AT_ONCE * MAX_BATCH <= lookAhead;
    return this.#look.hasMore && hasPlace ? LOOKS_AT_ONCE : 1;
  }

  /** How many more messages may be kept, so that they are renewed until they start. */
  #room(): number {
    const { slots, prefetch } = this.#share;
    return slots + prefetch - this.#buffer.kept - this.running;
  }

  #takeIn(leases: readonly Lease[], room: number | undefined): void {
    const { clock, visibilitySeconds } = this.#options;
    const { aside, hasTenant } = this.#buffer.enter(leases, room);
    if (hasTenant) this.#look.until = clock.now() + TENANTS_MS;
    void this.#heartbeat.setAside(
      aside.map((lease) => ({
        lease,
        seconds: secondsAside(lease.message.receiveCount, visibilitySeconds),
      })),
    );
  }

  #answersAgain(): void {
    this.#options.log.info({ stage: "pull" }, "the queue answers again");
    // A queue that had too many calls has changed nothing, and needs no further ones.
    const isNews = this.health !== "throttled";
    this.health = "ok";
    this.cause = null;
    if (isNews) this.#options.onAnswersAgain?.();
  }

  #unreachable(error: KamadoError): void {
    const { code, message, detail } = error;
    const health = detail?.awsFailure ?? "unknown";
    this.health = health;
    this.cause = error;
    const hint = hintFor(health, QUEUE_HINTS, error);
    this.#options.log.error({ stage: "pull", code, health }, `${message} ${hint}`);
  }

  get #isHealthy(): boolean {
    return (this.#options.health ?? []).every(({ isHealthy }) => isHealthy);
  }

  async #healthy(signal: AbortSignal): Promise<void> {
    await Promise.all((this.#options.health ?? []).map((one) => one.healthy(signal)));
  }

  #startWaiting(): void {
    if (this.#buffer.size > 0 && !this.#isHealthy) this.#standBy();
    else this.#share.fill();
  }

  #startOne(): boolean {
    if (this.#stopPulling.signal.aborted || !this.#isHealthy) return false;
    const next = this.#buffer.next();
    if (next) this.#start(next);
    return next !== undefined;
  }

  #standBy(): void {
    this.#standingBy ??= this.#untilHealthy().then(() => {
      this.#standingBy = undefined;
      if (!this.#stopPulling.signal.aborted) this.#startWaiting();
    });
  }

  /** A restarting engine is worth a wait. After that, other workers get the messages that wait here. */
  async #untilHealthy(): Promise<void> {
    const over = new AbortController();
    const isLong = this.#options.health?.some((one) => !one.isHealthy && one.isLong);
    void this.#options.clock.sleep(isLong ? 0 : STAND_BY_MS, over.signal).then(() => {
      if (!over.signal.aborted) void this.#giveBackWaiting();
    });
    await this.#healthy(this.#stopPulling.signal);
    over.abort();
  }

  #start(lease: Lease): void {
    this.#underWay.set(lease, this.#run(lease));
  }

  /** The slot is free at the latest when the work is done; the call that deletes the message is gathered with others. */
  async #run(lease: Lease): Promise<void> {
    const { group } = lease.message;
    const ending = await this.#work(lease);
    if (ending === "delete") void this.#acks.delete(lease);
    else if (ending === "leave") lease.lose("left to the queue");
    else void this.#acks.release(lease, ending.releaseAfterSeconds);
    // Later messages of the group must not overtake the one that comes back.
    if (group !== null && ending !== "delete") await this.#giveBackWaiting(group);
    this.#buffer.leave(lease);
    this.#underWay.delete(lease);
    if (this.#finishing.delete(lease)) this.#startWaiting();
    else this.#slotIsFree(lease);
  }

  async #work(lease: Lease): Promise<Ending> {
    try {
      const freeSlot = () => this.#freeSlot(lease);
      const controls = { cut: this.#cutWork.signal, stopping: this.#stopPulling.signal, freeSlot };
      return await this.#options.work(lease, controls);
    } catch (thrown) {
      this.#options.log.error({ stage: "work", message: lease.message.id, err: thrown }, "unexpected error");
      return { releaseAfterSeconds: AFTER_BUG_SECONDS };
    }
  }

  #freeSlot(lease: Lease): void {
    if (!this.#underWay.has(lease) || this.#finishing.has(lease)) return;
    if (this.#finishing.size >= MOST_FINISHING) return;
    this.#finishing.add(lease);
    this.#slotIsFree(lease);
  }

  #slotIsFree(lease: Lease): void {
    this.#buffer.free(lease);
    this.#share.ended();
    this.#roomCame.resolve();
    this.#startWaiting();
  }

  /** Messages that have not started go back at once, so that other workers see them. */
  async #giveBackWaiting(group?: string): Promise<void> {
    await Promise.all(this.#buffer.clear(group).map((lease) => this.#acks.release(lease, 0)));
  }
}
