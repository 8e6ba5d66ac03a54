// The service behind the jobs API and the pages: jobs are listed, shown, sent, canceled, repeated. It owns what is known of a job from
// several places: the history, the bucket (jobs that other workers ran), the queue (its place in line). How it is written on a page or in
// JSON is left to others.
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";
import { Semaphore } from "../async/semaphore.ts";
import { decodeDataUri, isDataUri } from "../data-uri.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { History } from "../history/history.ts";
import { hasEnded, type JobFilter, type JobRow, type StoredJob } from "../history/job-row.ts";
import { type Budgets, budgetExceeded } from "../job/budgets.ts";
import { checkInput, checkSent } from "../job/check-values.ts";
import { Job, JobId } from "../job/envelope.ts";
import { belongsTo, jobHash } from "../job/job-hash.ts";
import { wellFormed } from "../job/json.ts";
import { schemasOf } from "../job/kind-schemas.ts";
import { handlerOf, type Registry } from "../job/registry.ts";
import type { Result } from "../job/result.ts";
import type { NewJob, SendJobs } from "../job/send-jobs.ts";
import { isHeld, readLock } from "../job-lock/lock.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { Bucket } from "../storage/bucket.ts";
import { parseAddress } from "../storage/bucket.ts";
import type { ReadableObjects } from "../storage/readable-objects.ts";
import { createResults } from "../storage/results.ts";
import { shownType, uploadType } from "./files.ts";
import type { JobProgress } from "./job-progress.ts";
import type {
  BulkAction,
  BulkOutcome,
  Change,
  JobDetail,
  JobsService,
  Overview,
  Submitted,
} from "./services.ts";

export type JobsOptions = {
  history: History;
  send: SendJobs;
  registry: Registry;
  bucket: Bucket;
  objects: ReadableObjects;
  jobEvents: JobEvents;
  progress: JobProgress;
  budgets: Budgets;
  /** Of this worker, at this moment. */
  load(): { slots: number; running: number; waiting: number };
  /** Of the queue of jobs. Rejects with what the queue says. */
  depth(): Promise<{ waiting: number; inFlight: number; delayed: number }>;
  clock: Clock;
};

/** Answers that cost a call to AWS are used again for so long. */
const FRESH_MS = 2_000;
const MAX_STEPS = 1_000;
const HOUR_MS = 3_600_000;
const BULK_MOST = 10_000;
const BULK_AT_ONCE = 8;
const BULK_PAGE = 200;
/** Jobs of which is known when the bucket was asked for them. */
const REMEMBERED = 1_000;

export function createJobsService(options: JobsOptions): JobsService {
  const { history, registry, progress, clock } = options;
  const depth = fresh(() => options.depth().catch(() => null), clock);
  const submitting = new Map<string, Promise<unknown>>();

  async function get(id: string): Promise<JobDetail> {
    const stored = await known(id, options);
    const { jobHash: _, ...job } = stored;
    const line = await lineOf(job, options, depth);
    return { ...job, progress: progress.get(id) ?? null, line };
  }

  /** Two calls with the same id follow each other, so that the second one finds what the first one sent. */
  async function inTurn<T>(id: string | undefined, work: () => Promise<T>): Promise<T> {
    if (id === undefined) return work();
    const before = submitting.get(id) ?? Promise.resolve();
    const done = before.then(work, work);
    const settled = done.catch(() => {});
    submitting.set(id, settled);
    await settled;
    if (submitting.get(id) === settled) submitting.delete(id);
    return done;
  }

  const replay: JobsService["replay"] = async (id, { model, deliver } = {}) => {
    const { kind, input, inputNote, policy, deliver: to, state } = await known(id, options);
    if (input === undefined)
      throw new KamadoError("input_not_kept", `${id}: ${inputNote ?? "its input is not in the history."}`);
    const { expiresAt: _, ...rest } = policy;
    const again = deliver ?? state !== "succeeded";
    const job = {
      kind,
      input,
      deliver: again ? to : [],
      policy: { ...rest, ...(model !== undefined && { model }) },
    };
    return submit(job, options, id);
  };

  const lookElsewhere = askBucket(options);
  return {
    async list(filter, page) {
      const found = await history.list(filter, page);
      lookElsewhere(found.items);
      return found;
    },
    get,
    async counts({ since, stepMs }) {
      const steps = Math.max(1, Math.ceil((clock.wall() - since) / stepMs));
      if (!(stepMs >= 1) || steps > MAX_STEPS)
        throw new KamadoError(
          "invalid_input",
          `stepMs: expected at most ${MAX_STEPS} steps from since to now.`,
        );
      return history.counts({ since, stepMs, steps });
    },
    overview: fresh(() => overview(options, depth), clock),
    names: fresh(() => history.names(), clock),
    kinds: () => [...registry.values()].filter(({ broken }) => !broken).map(schemasOf),
    submit: (job) => inTurn(job.id, async () => (await sentBefore(job, options)) ?? submit(job, options)),
    cancel: (id) => options.send.cancel(checkedId(id)),
    replay,
    bulk: (filter, action, how) =>
      bulk(filter, action, options, (id) =>
        action === "cancel" ? options.send.cancel(id) : replay(id, how),
      ),
    subscribe: (listener) => subscribe(listener, options),
    async upload(file, { name } = {}) {
      const most = options.budgets.inputBytes;
      if (file.length > most)
        throw new KamadoError("input_too_large", `The file has ${file.length} bytes; the limit is ${most}.`);
      const contentType = uploadType(file);
      return { address: await options.send.upload(file, { name, contentType }), contentType };
    },
    input: (id, name) => inputOf(id, name, options),
  };
}

async function overview(
  { history, clock }: JobsOptions,
  depth: () => Promise<Overview["queue"]>,
): Promise<Overview> {
  const now = clock.wall();
  const [states, today, lastHour, queue] = await Promise.all([
    history.states(),
    history.stats(new Date(now).setHours(0, 0, 0, 0)),
    history.stats(now - HOUR_MS),
    depth(),
  ]);
  return { states, today, lastHour, queue, dropped: history.dropped };
}

/** What a call answers is used again for a moment, also by those who ask while it is on its way. */
export function fresh<T>(call: () => Promise<T>, clock: Pick<Clock, "now">): () => Promise<T> {
  let [answer, at]: [Promise<T> | undefined, number] = [undefined, 0];
  return () => {
    if (!answer || clock.now() - at >= FRESH_MS) [answer, at] = [call(), clock.now()];
    return answer;
  };
}

function checkedId(id: string): string {
  const parsed = JobId.safeParse(id);
  if (parsed.success) return parsed.data;
  throw new KamadoError("invalid_input", `id: ${parsed.error.issues[0]!.message}.`);
}

/** The history's, or what the bucket knows of a job that another worker has or had. Throws `job_not_found`. */
async function known(
  id: string,
  { history, bucket }: Pick<JobsOptions, "history" | "bucket">,
): Promise<StoredJob> {
  const stored = await history.get(checkedId(id)).catch((thrown) => {
    if (toKamadoError(thrown, "history_unavailable").code === "history_unavailable") return null;
    throw thrown;
  });
  const isElsewhere = !stored || stored.state === "queued" || stored.state === "retrying";
  const needsOutput = stored?.outputNote != null;
  if (!isElsewhere && !needsOutput) return stored;
  const result = await createResults(bucket).find(id);
  if (stored && result && belongsTo({ kind: stored.kind, ...hashOf(stored) }, result)) {
    if (!isElsewhere) return { ...stored, output: result.output };
    history.endedElsewhere(result);
    return { ...stored, ...ofResult(result) };
  }
  if (stored) return stored;
  if (result) return { ...NOTHING_KNOWN, id, kind: result.kind, ...ofResult(result) };
  const lock = await readLock(bucket, id);
  if (lock && isHeld(lock.record, lock))
    return { ...NOTHING_KNOWN, id, state: "running", attempts: lock.record.attempts };
  throw new KamadoError(
    "job_not_found",
    `There is no job ${id} in the history, and no result of it in the bucket.`,
  );
}

function hashOf({ jobHash: stored, kind, input }: StoredJob): { jobHash?: string } {
  if (stored !== null) return { jobHash: stored };
  return input === undefined ? {} : { jobHash: jobHash({ kind, input }) };
}

const ofResult = ({ status, output, error, receipt }: Result) => ({
  state: status,
  output,
  error: error
    ? { code: error.code, message: error.message, ...(error.hint !== undefined && { hint: error.hint }) }
    : null,
  receipt,
  attempts: receipt.attempts,
  model: receipt.model,
  promptTokens: receipt.promptTokens,
  completionTokens: receipt.completionTokens,
});

/** Before a job that does not come back counts as one that another worker may have; and between two looks for its result. */
const ELSEWHERE_MS = 60_000;
/** Each look is a call to the bucket. */
const LOOKS = 5;

/** Jobs of a list that seem to wait may have ended in another worker, which only the bucket knows. A later list has what was found. */
function askBucket({ bucket, history, clock }: JobsOptions): (rows: readonly JobRow[]) => void {
  const asked = new RecentMap<string, number>(REMEMBERED);
  return (rows) => {
    const now = clock.wall();
    const due = rows.filter(
      ({ id, state, sentAt, receivedAt }) =>
        (state === "queued" || state === "retrying") &&
        now - Math.max(sentAt ?? receivedAt ?? now, asked.get(id) ?? 0) > ELSEWHERE_MS,
    );
    for (const { id } of due.slice(0, LOOKS)) {
      asked.set(id, now);
      // What cannot be found out now is found out later.
      void known(id, { history, bucket }).catch(() => {});
    }
  };
}

/** Of a job that came to another worker. */
const NOTHING_KNOWN: StoredJob = {
  id: "",
  kind: "unknown",
  state: "running",
  tenant: null,
  summary: "",
  sentAt: null,
  receivedAt: null,
  startedAt: null,
  endedAt: null,
  attempts: 0,
  error: null,
  isDeadLettered: false,
  model: null,
  promptTokens: 0,
  completionTokens: 0,
  joules: null,
  input: undefined,
  inputNote: "Another worker ran the job; its input is not in the history of this one.",
  output: undefined,
  outputNote: null,
  receipt: null,
  deliver: [],
  policy: {},
  stations: [],
  deliveries: [],
  replayOf: null,
  replays: [],
  jobHash: null,
};

/**
 * The place of a job that waits, and when it starts if runs take as long as they did. Messages of other senders are counted by the queue's
 * own approximate figures.
 */
async function lineOf(
  { id, state }: Pick<JobRow, "id" | "state">,
  { history, load, clock }: JobsOptions,
  depth: () => Promise<{ waiting: number } | null>,
): Promise<JobDetail["line"]> {
  if (state !== "queued") return null;
  const [ahead, queue, usualMs] = await Promise.all([history.ahead(id), depth(), history.usualRunMs()]);
  if (!ahead) return null;
  const { slots, running, waiting } = load();
  const unseen = queue ? queue.waiting + waiting - ahead.behind : 0;
  const position = Math.max(ahead.before + 1, unseen);
  const free = Math.max(0, slots - running);
  const startsAt =
    position <= free
      ? clock.wall()
      : usualMs === null || slots === 0
        ? null
        : Math.round(clock.wall() + ((position - free) / slots) * usualMs);
  return { position, startsAt };
}

/** The job that the worker would read, checked as it would check it. Throws `invalid_input`, `unknown_kind`, `budget_exceeded`. */
function checkedJob(
  { id, kind, input, deliver = [], policy = {} }: NewJob,
  { registry, budgets }: JobsOptions,
): Job {
  const fields = { id: id ?? "new", kind, input: wellFormed(input), deliver, policy };
  const job = checkSent(Job, fields);
  const handler = handlerOf(registry, job.kind);
  if (handler.broken) throw handler.broken;
  checkInput(handler.input, job.input);
  const { length } = job.deliver;
  if (length > budgets.destinations) throw budgetExceeded("destinations", budgets.destinations, length);
  return job;
}

/** Null when no job has this id. Throws `duplicate_id` for another job. */
async function sentBefore(job: NewJob, options: JobsOptions): Promise<Submitted | null> {
  if (job.id === undefined) return null;
  const { id, kind, input } = checkedJob(job, options);
  const own = { kind, jobHash: jobHash({ kind, input }) };
  const found = await hashBefore(id, options);
  if (!found) return null;
  if (belongsTo(own, found)) return { id, kind, messageId: "", jobHash: own.jobHash, isNew: false };
  throw new KamadoError("duplicate_id", `id: "${id}" belongs to a job with another input.`);
}

/** What is known of the job with this id: of the history, else of its stored result, else of its lock. */
async function hashBefore(
  id: string,
  { history, bucket }: JobsOptions,
): Promise<{ kind: string; jobHash?: string | undefined } | null> {
  const stored = await history.get(id).catch(() => null);
  if (stored) return { kind: stored.kind, ...hashOf(stored) };
  const result = await createResults(bucket).find(id);
  if (result) return result;
  const lock = await readLock(bucket, id);
  const hash = lock?.record.jobHash;
  return lock && hash !== undefined ? { kind: "", jobHash: hash } : null;
}

async function submit(job: NewJob, options: JobsOptions, replayOf?: string): Promise<Submitted> {
  const { id: _, ...checked } = checkedJob(job, options);
  const sent = await options.send.send({ ...job, ...checked, id: job.id });
  const { id, jobHash } = sent;
  options.history.sent({ ...checked, id }, { jobHash, group: job.group, replayOf });
  return { ...sent, isNew: true };
}

async function bulk(
  filter: JobFilter,
  action: BulkAction,
  { history }: JobsOptions,
  act: (id: string) => Promise<unknown>,
): Promise<BulkOutcome> {
  const outcome: BulkOutcome = { matched: 0, done: 0, failed: [] };
  const turns = new Semaphore(BULK_AT_ONCE);
  const one = async ({ id }: JobRow) => {
    try {
      await act(id);
      outcome.done++;
    } catch (thrown) {
      const { code, message } = toKamadoError(thrown, "queue_unavailable");
      outcome.failed.push({ id, code, message });
    }
  };
  let cursor: string | undefined;
  do {
    const page: { items: JobRow[]; next: string | null } = await history.list(filter, {
      cursor,
      limit: BULK_PAGE,
    });
    // One that has ended cannot be canceled; one that has not would run twice.
    const meant = page.items.filter(({ state }) => hasEnded(state) === (action === "replay"));
    outcome.matched += meant.length;
    await Promise.all(meant.map((job) => turns.take(() => one(job))));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined && outcome.matched < BULK_MOST);
  return outcome;
}

function subscribe(listener: (change: Change) => void, { history, jobEvents }: JobsOptions): () => void {
  const ends = [
    history.subscribe((changes) => {
      if ("missed" in changes) listener({ is: "missed" });
      else for (const job of changes.rows) listener({ is: "job", job });
    }),
    jobEvents.subscribe((event) => {
      if (event.stage !== "progress") return;
      const { job: id, done, what } = event;
      listener({ is: "progress", id, done, ...(what !== undefined && { what }) });
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** A file that the job's input names, and nothing else: neither what the job may not read, nor what has to be fetched from elsewhere. */
async function inputOf(
  id: string,
  name: string,
  options: JobsOptions,
): Promise<{ bytes: Uint8Array; contentType: string }> {
  const { input } = await known(id, options);
  const maxBytes = options.budgets.inputBytes;
  const at = name.split(".").reduce<unknown>((one, part) => fieldOf(one, part), input);
  if (typeof at === "string" && isDataUri(at)) return shown(decodeDataUri(at, maxBytes));
  const address = typeof at === "string" ? parseAddress(at) : null;
  if (address) return shown((await options.objects.get(address, { maxBytes })).bytes);
  throw new KamadoError(
    "object_not_found",
    `${id}: its input names no file at ${JSON.stringify(name.slice(0, 100))}.`,
  );
}

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;

const shown = (bytes: Uint8Array) => ({ bytes, contentType: shownType(bytes) });
