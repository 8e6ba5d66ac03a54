// Jobs, dead letters, destinations and an engine in memory, with contents as a real worker has them, for the console's pages.
import { z } from "zod";
import articleExtract from "../../handlers/article-extract.ts";
import imageCheck from "../../handlers/image-check.ts";
import knowledgeResearch from "../../handlers/knowledge-research.ts";
import prompt from "../../handlers/prompt.ts";
import textSummarize from "../../handlers/text-summarize.ts";
import todoMatch from "../../handlers/todo-match.ts";
import type {
  Change,
  DeadLetterFilter,
  DeadLetterRow,
  DestinationRow,
  JobDetail,
  JobFilter,
  JobState,
  JobsService,
} from "../../worker/api/services.ts";
import type { ConsoleDeps } from "../../worker/console/console.ts";
import type { EngineView } from "../../worker/console/engine-view.ts";
import type { State } from "../../worker/console/state.ts";
import { KamadoError } from "../../worker/errors.ts";
import type { NewJob } from "../../worker/job/send-jobs.ts";

/** A red and blue picture of 2 x 2 pixels. */
export const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg==",
  "base64",
);

const HANDLERS = [imageCheck, prompt, todoMatch, articleExtract, textSummarize, knowledgeResearch];
export const KINDS = HANDLERS.map(({ kind, summary, input, output }) => ({
  kind,
  summary,
  input: z.toJSONSchema(input, { io: "input", unrepresentable: "any" }),
  output: z.toJSONSchema(output, { unrepresentable: "any" }),
}));

export function jobOf(given: Partial<JobDetail> & { id: string }): JobDetail {
  const { state = "succeeded", sentAt = Date.now() - 60_000 } = given;
  const isOver = ["succeeded", "failed", "expired", "canceled"].includes(state);
  const at = sentAt ?? Date.now();
  const hasStarted = !["queued", "waiting"].includes(state);
  return {
    kind: "image.check",
    state,
    tenant: null,
    summary: "Is the door locked?",
    sentAt,
    receivedAt: at + 400,
    startedAt: hasStarted ? at + 900 : null,
    endedAt: isOver ? at + 4_200 : null,
    attempts: hasStarted ? 1 : 0,
    error: null,
    isDeadLettered: false,
    model: hasStarted ? "qwen3-vl-4b-Q4_K_M" : null,
    promptTokens: hasStarted ? 612 : 0,
    completionTokens: isOver ? 1 : 0,
    joules: null,
    input: { image: "s3://kamado/in/front-door.png", question: "Is the door locked?" },
    inputNote: null,
    output: state === "succeeded" ? { answer: "y", probability: 0.93 } : undefined,
    outputNote: null,
    receipt: null,
    deliver: [{ callback: "https://home.example/hook?token=hidden" }],
    policy: {},
    stations: hasStarted
      ? [
          { name: "queue", at, tookMs: 400 },
          { name: "wait", at: at + 400, tookMs: 500 },
          { name: "inputs", at: at + 900, tookMs: 220 },
          { name: "run", at: at + 1_120, tookMs: 2_900, attempt: 1 },
          { name: "store", at: at + 4_020, tookMs: 60 },
          { name: "deliver", at: at + 4_080, tookMs: 120 },
        ]
      : [],
    deliveries: [],
    progress: null,
    line: null,
    replayOf: null,
    replays: [],
    ...given,
  };
}

const matches = (job: JobDetail, { kind, states, tenant, text, since, until }: JobFilter): boolean => {
  const at = job.sentAt ?? job.receivedAt ?? 0;
  const written = JSON.stringify([job.id, job.kind, job.input, job.output, job.error]).toLowerCase();
  const isTime = (since === undefined || at >= since) && (until === undefined || at <= until);
  const isState = states === undefined || states.includes(job.state);
  const words = (text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return (
    isTime &&
    isState &&
    (kind === undefined || job.kind === kind) &&
    (tenant === undefined || job.tenant === tenant) &&
    words.every((word) => written.includes(word))
  );
};

export class FakeJobs implements JobsService {
  readonly all = new Map<string, JobDetail>();
  readonly submitted: NewJob[] = [];
  readonly uploads: { name: string; size: number }[] = [];
  readonly #listeners = new Set<(change: Change) => void>();
  file: Uint8Array = new Uint8Array(PICTURE);
  fileType = "image/png";
  queue: { waiting: number; inFlight: number; delayed: number } | null = null;
  bulks: { filter: JobFilter; action: string }[] = [];

  constructor(jobs: readonly JobDetail[] = []) {
    for (const job of jobs) this.all.set(job.id, job);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  change(job: JobDetail): void {
    this.all.set(job.id, job);
    for (const listener of this.#listeners) listener({ is: "job", job });
  }

  async list(filter: JobFilter, { cursor = "0", limit }: { cursor?: string | undefined; limit: number }) {
    const found = [...this.all.values()]
      .filter((job) => matches(job, filter))
      .toSorted((one, other) => (other.sentAt ?? 0) - (one.sentAt ?? 0));
    const from = Number(cursor);
    const items = found.slice(from, from + limit);
    return { items, next: from + limit < found.length ? String(from + limit) : null };
  }

  async get(id: string): Promise<JobDetail> {
    const job = this.all.get(id);
    if (!job) throw new KamadoError("job_not_found", `There is no job ${id}.`);
    return job;
  }

  async counts({ since, stepMs }: { since: number; stepMs: number }) {
    const steps = Math.max(1, Math.ceil((Date.now() - since) / stepMs));
    const zeros = () => Array.from({ length: steps }, () => 0);
    const counts = {
      since,
      stepMs,
      succeeded: zeros(),
      failed: zeros(),
      promptTokens: zeros(),
      completionTokens: zeros(),
      busy: zeros(),
    };
    for (const { startedAt, endedAt, state, promptTokens, completionTokens } of this.all.values()) {
      if (startedAt === null) continue;
      const until = endedAt ?? Date.now();
      for (let at = 0; at < steps; at++) {
        const [from, to] = [since + at * stepMs, since + (at + 1) * stepMs];
        counts.busy[at]! += Math.max(0, Math.min(until, to) - Math.max(startedAt, from)) / stepMs;
        if (endedAt === null || endedAt < from || endedAt >= to) continue;
        counts[state === "succeeded" ? "succeeded" : "failed"][at]! += 1;
        counts.promptTokens[at]! += promptTokens;
        counts.completionTokens[at]! += completionTokens;
      }
    }
    return counts;
  }

  kinds() {
    return KINDS;
  }

  async submit(job: NewJob) {
    const handler = HANDLERS.find(({ kind }) => kind === job.kind)!;
    const parsed = handler.input.safeParse(job.input);
    if (!parsed.success) {
      const words = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
      throw new KamadoError("invalid_input", `${words.join("; ")}.`);
    }
    this.submitted.push(job);
    const id = job.id ?? `job-${this.submitted.length}`;
    this.change(
      jobOf({ id, kind: job.kind, input: job.input, state: "queued", sentAt: Date.now(), output: undefined }),
    );
    return { id, kind: job.kind, messageId: id, jobHash: "hash", isNew: true };
  }

  async cancel(id: string) {
    this.change({ ...(await this.get(id)), state: "canceled", endedAt: Date.now() });
    return { is: "canceled" };
  }

  async replay(id: string, { model }: { model?: string | undefined } = {}) {
    const job = await this.get(id);
    const fresh = `${id}-again-${job.replays.length + 1}`;
    const output = { answer: "n", probability: 0.31 };
    this.change(
      jobOf({ ...job, id: fresh, sentAt: Date.now(), replayOf: id, output, model: model ?? job.model }),
    );
    this.change({ ...job, replays: [...job.replays, fresh] });
    return { id: fresh, kind: job.kind, messageId: fresh, jobHash: "hash" };
  }

  async bulk(filter: JobFilter, action: "cancel" | "replay") {
    this.bulks.push({ filter, action });
    const found = [...this.all.values()].filter((job) => matches(job, filter));
    return { matched: found.length, done: found.length, failed: [] };
  }

  subscribe(listener: (change: Change) => void) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async upload(file: Uint8Array, { name = "file" }: { name?: string | undefined } = {}) {
    this.uploads.push({ name, size: file.length });
    return {
      address: `s3://kamado/in/${name}`,
      contentType: name.endsWith(".txt") ? "text/plain" : "image/png",
    };
  }

  async input(id: string, name: string) {
    const { input } = await this.get(id);
    if (typeof (input as Record<string, unknown>)[name] !== "string")
      throw new KamadoError("object_not_found", `${id}: its input names no file at ${name}.`);
    return { bytes: this.file, contentType: this.fileType };
  }

  async names() {
    return {
      kinds: [...new Set([...this.all.values()].map(({ kind }) => kind))],
      tenants: [...new Set([...this.all.values()].flatMap(({ tenant }) => tenant ?? []))],
    };
  }

  async overview() {
    const since = new Date().setHours(0, 0, 0, 0);
    const ended = [...this.all.values()].filter(({ endedAt }) => (endedAt ?? 0) >= since);
    const sum = (read: (job: JobDetail) => number) => ended.reduce((total, job) => total + read(job), 0);
    const today = {
      since,
      succeeded: sum(({ state }) => Number(state === "succeeded")),
      failed: sum(({ state }) => Number(state === "failed")),
      promptTokens: sum(({ promptTokens }) => promptTokens),
      completionTokens: sum(({ completionTokens }) => completionTokens),
      runMs: null,
      totalMs: null,
    };
    return { states: {}, today, lastHour: today, queue: this.queue, dropped: 0 };
  }
}

export class FakeDeadLetters {
  items: DeadLetterRow[];
  readonly done: string[] = [];
  constructor(items: DeadLetterRow[] = []) {
    this.items = items;
  }
  #found({ ids, queue, text }: DeadLetterFilter = {}) {
    return this.items.filter(
      (one) =>
        (ids === undefined || ids.includes(one.messageId)) &&
        (queue === undefined || one.queue === queue) &&
        (text === undefined || JSON.stringify(one).includes(text)),
    );
  }
  async list(filter?: DeadLetterFilter) {
    return { items: this.#found(filter).map(({ body: _, ...one }) => one), mayHaveMore: false };
  }
  async show(messageId: string) {
    const found = this.items.find((one) => one.messageId === messageId);
    if (!found) throw new KamadoError("dead_letter_not_found", "There is no such dead letter.");
    return found;
  }
  async #take(filter: DeadLetterFilter, what: string) {
    const found = this.#found(filter);
    this.items = this.items.filter((one) => !found.includes(one));
    this.done.push(...found.map(({ messageId }) => `${what} ${messageId}`));
    return { matched: found.length, done: found.length, failed: [] };
  }
  redrive(filter: DeadLetterFilter) {
    return this.#take(filter, "redrive");
  }
  async count() {
    return this.items.length;
  }

  purge(filter: DeadLetterFilter) {
    return this.#take(filter, "purge");
  }
}

export const STATE: State = {
  status: "READY",
  queue: { url: "http://127.0.0.1:4566/000000000000/kamado-jobs", health: "ok" },
  deliveries: null,
  engine: { url: "http://127.0.0.1:4781", model: "qwen3-vl-4b-Q4_K_M", answers: true, isDemo: false },
  bucket: { name: "kamado", answers: true, health: "ok" },
  topic: null,
  running: 0,
  delivering: 0,
  waiting: 0,
  slots: 8,
  allSlots: 8,
  process: { residentBytes: 118_000_000, handles: 40 },
  current: [],
  jobs: [],
};

export const NO_ENGINE: EngineView = {
  health: async () => null,
  slots: async () => null,
  totals: async () => null,
  models: async () => [],
  context: async () => null,
  async *chat() {
    yield* [];
    throw new KamadoError("engine_unavailable", "The engine does not answer.");
  },
};

export const ENGINE: EngineView = {
  health: async () => ({
    state: "BUSY",
    model: "qwen3-vl-4b-Q4_K_M",
    backend: "llama-server",
    quantization: "Q4_K_M",
    images: true,
    slots: { busy: 5, total: 8 },
    waiting: 3,
    memory: { estimatedBytes: 5_900_000_000, residentBytes: 310_000_000 },
    slotsFrom: {
      from: "measurement",
      measuredAt: "2026-11-21T08:00:00.000Z",
      steady: true,
      measured: {
        readings: [
          { width: 1, tokensPerSecond: 36.7 },
          { width: 2, tokensPerSecond: 63.9 },
          { width: 4, tokensPerSecond: 118.8 },
          { width: 8, tokensPerSecond: 171.6 },
          { width: 9, tokensPerSecond: 150 },
          { width: 16, tokensPerSecond: 132.6 },
        ],
        prefillTokensPerSecond: 522,
        modelBytes: 2_600_000_000,
        cpu: "Apple M4",
      },
    },
    reason: undefined,
  }),
  slots: async () => ({
    slots: Array.from({ length: 8 }, (_, id) => ({
      id,
      state: id < 4 ? "decode" : id === 4 ? "prefill" : "idle",
      since: new Date(Date.now() - 1_000 * (id + 2)).toISOString(),
      tokens: id < 5 ? 380 + 460 * id : 0,
      class: id === 2 ? "interactive" : id < 5 ? "job" : null,
    })),
    waiting: { count: 3 },
    tokensPerSecond: 161.4,
    inside: { prefixes: { count: 12, bytes: 410_000_000 } },
  }),
  totals: async () => ({ evaluated: 214_000, cached: 803_000, generated: 96_200 }),
  models: async () => ["qwen3-vl-4b-Q4_K_M"],
  context: async () => 4_096,
  async *chat() {
    for (const text of ["Good ", "morning."]) yield { text };
    yield { end: "stop" };
  },
};

export const emptyConsole = () => ({
  state: () => STATE,
  jobs: new FakeJobs(),
  deadLetters: new FakeDeadLetters(),
  destinations: {
    list: async (): Promise<DestinationRow[]> => [],
    resend: async () => ({ matched: 0, done: 0, failed: [] }),
  },
  engine: NO_ENGINE as EngineView,
  price: { input: 0.15, output: 0.6 },
});

const SENTENCES = [
  "Is the door locked?",
  "Is the garage door closed?",
  "Summarize: the council met on Tuesday to decide about the bridge",
  "牛乳を買っておいて",
  "Is there a parcel at the door?",
  "Text: call the dentist about Thursday\nTitle:",
];

/** A worker in the middle of a day. */
export function busyConsole() {
  const now = Date.now();
  const kinds = ["image.check", "image.check", "prompt", "todo.match", "image.check", "article.extract"];
  let sentAt = now;
  const jobs = Array.from({ length: 420 }, (_, at) => {
    // More in the evening than at noon, and some take longer than others.
    sentAt -= at < 8 ? 2_600 : 6_500 + 4_500 * Math.sin(at / 24) + ((at * 7_919) % 4_000);
    const runMs = 4_000 + ((at * 104_729) % 38_000) * (0.6 + 0.4 * Math.sin(at / 40));
    const state: JobState =
      at < 3
        ? "waiting"
        : at < 8
          ? "running"
          : at % 17 === 0
            ? "failed"
            : at % 31 === 0
              ? "canceled"
              : "succeeded";
    const summary = SENTENCES[at % SENTENCES.length]!;
    const kind = kinds[at % kinds.length]!;
    return jobOf({
      id: `01J${(7_000_000 - at).toString(36).toUpperCase()}`,
      kind,
      state,
      summary,
      input:
        kind === "image.check"
          ? { image: "s3://kamado/in/front-door.png", question: summary }
          : { text: summary },
      sentAt,
      ...(at >= 8 && { endedAt: Math.min(now - 1_000, sentAt + 900 + runMs) }),
      completionTokens: 1 + ((at * 37) % 240),
      promptTokens: 300 + ((at * 53) % 700),
      error:
        state === "failed"
          ? {
              code: "object_not_found",
              message: "s3://kamado/in/cam-3.jpg does not exist.",
              hint: "Upload the object before you send the job.",
            }
          : null,
      ...(kind !== "image.check" && state === "succeeded" && { output: { text: "Buy milk" } }),
    });
  });
  const dead: DeadLetterRow[] = Array.from({ length: 7 }, (_, at) => ({
    messageId: `m-${at}`,
    queue: at % 3 === 2 ? "deliveries" : "jobs",
    job: `01JDEAD${at}`,
    kind: at % 3 === 2 ? "image.check" : "garage.look",
    at: new Date(now - at * 3_600_000).toISOString(),
    reason:
      at % 3 === 2
        ? { code: "delivery_failed", message: "The receiver answered 503 for three days." }
        : {
            code: "unknown_kind",
            message: 'There is no kind "garage.look"; there are image.check, prompt, todo.match.',
          },
    to: at % 3 === 2 ? "https://home.example/hook" : null,
    tries: at % 3 === 2 ? 14 : 1,
    body: JSON.stringify({
      id: `01JDEAD${at}`,
      kind: "garage.look",
      input: { image: "s3://kamado/in/garage.jpg" },
    }),
  }));
  const destinations: DestinationRow[] = [
    {
      key: "a",
      to: "https://home.example/hook",
      state: "paused",
      reason: "The last 5 deliveries failed: 503.",
      since: new Date(now - 900_000).toISOString(),
      delivered: 1_204,
      failed: 17,
      lastAt: now - 60_000,
    },
    {
      key: "b",
      to: "arn:aws:sns:us-east-1:000000000000:kamado-results",
      state: "on",
      reason: null,
      since: null,
      delivered: 8_411,
      failed: 0,
      lastAt: now - 4_000,
    },
    {
      key: "c",
      to: "https://old.example/todos",
      state: "off",
      reason: "The receiver answered 410: it is gone.",
      since: new Date(now - 86_400_000).toISOString(),
      delivered: 12,
      failed: 1,
      lastAt: now - 86_400_000,
    },
  ];
  return {
    ...emptyConsole(),
    state: () => ({
      ...STATE,
      status: "BUSY" as const,
      running: 5,
      waiting: 3,
      delivering: 1,
      disk: { folder: "/data", freeBytes: 184e9, isFull: false },
      power: {
        paused: null,
        policies: { quietHours: [], yieldIdleSeconds: 0, maxTemperature: null },
        ineffective: [],
        reading: {
          at: 0,
          gpuPercent: 94,
          gpuMemoryBytes: 4_900_000_000,
          temperature: 71,
          thermalState: "nominal",
          memoryPressure: "normal",
          idleSeconds: 8_040,
          absent: { gpuWatts: "powermetrics needs root, and macOS says no more without it" },
        },
      },
    }),
    jobs: new FakeJobs(jobs),
    deadLetters: new FakeDeadLetters(dead),
    destinations: {
      list: async () => destinations,
      resend: async () => ({ matched: 17, done: 17, failed: [] }),
    },
    engine: ENGINE,
    catalogue: () => [
      {
        name: "qwen3-vl-4b",
        title: "Qwen3-VL 4B Instruct, Q4_K_M",
        for: "pictures and texts",
        bytes: 2_500_000_000,
      },
      { name: "gpt-oss-20b", title: "gpt-oss 20B", for: "texts", bytes: 12_100_000_000 },
    ],
  } satisfies ConsoleDeps;
}
