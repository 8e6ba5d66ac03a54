// The model that a handler asks, one for each job: it names the model, takes turns with other requests, keeps to the job's budget,
// waits while the engine's queue is full, and adds up what the job used. One question and its answer are in ask.ts and decide.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { KamadoError } from "../errors.ts";
import type { Budgets } from "../job/budgets.ts";
import type { ApiRequest, Choice, Model } from "../job/handler.ts";
import type { Receipt } from "../job/result.ts";
import type { TraceFields } from "../job/trace-context.ts";
import { type AnyAsk, ask } from "./ask.ts";
import { Capabilities } from "./capabilities.ts";
import { type Decide, decide } from "./decide.ts";
import type { ChatAnswer, Completed } from "./engine-answer.ts";
import type { Chat, ChatRequest, EngineClient } from "./engine-client.ts";
import { ModelBudget, promptTokens } from "./model-budget.ts";
import type { Part } from "./prompt.ts";
import { Turns } from "./turns.ts";

export type ModelOptions = {
  client: EngineClient;
  /** Cuts every request of the job. */
  signal: AbortSignal;
  /** The model to ask for; by default the one that the client knows of. */
  model?: string | undefined;
  /** The job's, 0 to 9. Only our own engine is told: others do not know the field, or give it another meaning. */
  priority?: number | undefined;
  /** Shared by all jobs that ask this engine. [16 requests at once, for this job alone] */
  turns?: Turns;
  /** What is known of this engine; shared by all jobs that ask it. [nothing yet] */
  capabilities?: Capabilities;
  /** What the job may spend in this run. [no limit] */
  budget?: Pick<Budgets, "requests" | "tokens">;
  /** That of the job. */
  trace?: TraceFields;
  /** [nothing is done around a request] */
  around?: AroundRequest | undefined;
};

/** Called around each request to the engine, to measure it. `send` makes the request, in the trace that it is given. */
export type AroundRequest = <A extends Measured>(
  request: Partial<Pick<ChatRequest, "model" | "max_tokens" | "temperature">>,
  about: { engine: string; trace: TraceFields },
  send: (trace: TraceFields) => Promise<A>,
) => Promise<A>;

export type Measured = Pick<ChatAnswer, "model" | "promptTokens" | "cachedTokens" | "completionTokens">;

const sendAlone: AroundRequest = (_, { trace }, send) => send(trace);

/** The model's part of a receipt. */
export type Usage = { requests: number; unansweredRequests?: number } & Pick<
  Receipt,
  | "model"
  | "engine"
  | "promptTokens"
  | "cachedTokens"
  | "completionTokens"
  | "inferenceMs"
  | "repairs"
  | "truncated"
>;

/** What our own engine calls itself in `owned_by`. */
const OWN_ENGINE = "kamado";
const UNLIMITED = { requests: Number.POSITIVE_INFINITY, tokens: Number.POSITIVE_INFINITY };
const AT_ONCE = 16;
/** A request of a job that has others at the engine goes behind the only ones of jobs of the same priority. */
const LATER = 0.5;
const BUSY_TRIES = 4;
const BUSY_WAIT_MS = 1_000;
const MAX_BUSY_WAIT_MS = 10_000;

export function createModel(options: ModelOptions): { model: Model; used(): Usage } {
  const { client, signal, model, priority, capabilities = new Capabilities() } = options;
  const { trace = {}, around = sendAlone } = options;
  const meter = new Meter(signal);
  const budget = new ModelBudget(options.budget ?? UNLIMITED);
  const turns = (options.turns ?? new Turns({ atOnce: AT_ONCE })).forJob(signal);
  const identify = async (hasOthers: boolean) => {
    const identity = await client.identify(signal);
    // The handler may have asked for too much meanwhile.
    budget.check();
    const isOwn = identity.engine === OWN_ENGINE;
    const rank = isOwn &&
      priority !== undefined && {
        priority: hasOthers ? Math.max(0, priority - LATER) : priority,
      };
    return { identity, name: model ?? identity.model, isOwn, rank };
  };
  const send = async (request: Parameters<Chat>[0], hasOthers: boolean): Promise<ChatAnswer> => {
    const { identity, name, isOwn, rank } = await identify(hasOthers);
    // An answer is checked here anyway, and a second try counts in the receipt.
    const check = isOwn && request.response_format !== undefined && { check_schema: false as const };
    const named = { ...request, ...(name !== null && { model: name }), ...rank, ...check };
    const ask = (form: ChatRequest) =>
      meter.count(promptTokens(form), identity.engine, name, () =>
        around(form, { engine: identity.engine, trace }, (own) => client.chat(form, signal, own)),
      );
    return capabilities.chat(named, ask, { engine: identity.engine, isOwn, signal });
  };
  const chat: Chat = async (request) => {
    budget.ask();
    return turns.take((hasOthers) =>
      budget.spend(request, () => whileBusy(signal, () => send(request, hasOthers))),
    );
  };
  /** A model that the request names stays: it may be another than the job's. */
  const pass = async ({ url, body }: ApiRequest, hasOthers: boolean): Promise<Completed> => {
    const { identity, name, rank } = await identify(hasOthers);
    const named = { ...(name !== null && { model: name }), ...rank, ...body };
    const asked = typeof named.model === "string" ? named.model : name;
    const { max_tokens } = sizeOf(body);
    return meter.count(promptTokens(sizeOf(body)), identity.engine, asked, () =>
      around(
        { max_tokens, ...(asked !== null && { model: asked }) },
        { engine: identity.engine, trace },
        (own) => client.complete({ url, body: named }, signal, own),
      ),
    );
  };
  return {
    model: {
      name: async () => (await identify(false)).name,
      // The question says which form of `ask` it is, and the caller's form says what type comes back.
      ask: async (question: AnyAsk) => {
        budget.check();
        return (await ask(chat, question, meter)) as never;
      },
      decide: async <const T extends string>(question: Decide<T>): Promise<Choice<T>> => {
        budget.check();
        return decide(chat, question);
      },
      complete: async (request) => {
        budget.ask();
        const work = (hasOthers: boolean) =>
          budget.spend(sizeOf(request.body), () => whileBusy(signal, () => pass(request, hasOthers)));
        return (await turns.take(work)).answer;
      },
    },
    used: () => meter.used(),
  };
}

/** What a text that names no limit is taken to need. */
const USUAL_ANSWER = 1_024;

/** What a request that somebody else wrote may cost, for the budget: its fields may be of any type. */
function sizeOf(body: Record<string, unknown>): Pick<ChatRequest, "messages" | "max_tokens"> {
  const pictures: Part[] = [];
  const text = JSON.stringify(body, (_, value: unknown) => {
    if (typeof value !== "string" || !value.startsWith("data:")) return value;
    pictures.push({ type: "image_url", image_url: { url: "" } });
    return "";
  });
  const [limit, answers] = [body.max_completion_tokens ?? body.max_tokens, body.n];
  const max_tokens = (isCount(limit) ? limit : USUAL_ANSWER) * (isCount(answers) ? answers : 1);
  return { messages: [{ role: "user", content: [{ type: "text", text }, ...pictures] }], max_tokens };
}

const isCount = (value: unknown): value is number => typeof value === "number" && value > 0;

/** Tries again while the engine's queue is full. To give the job back would throw away the answers it already has. */
async function whileBusy<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof KamadoError) || thrown.code !== "engine_busy" || attempt === BUSY_TRIES)
        throw thrown;
      const waitMs = thrown.detail?.retryAfterMs ?? BUSY_WAIT_MS * attempt;
      const wait = sleep(Math.min(waitMs, MAX_BUSY_WAIT_MS), undefined, { signal });
      await wait.catch(() => signal.throwIfAborted());
    }
  }
}

export const NOTHING_USED: Usage = {
  model: null,
  engine: null,
  requests: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  inferenceMs: 0,
  repairs: 0,
};

type Counted = Omit<Completed, "text" | "answer">;

class Meter {
  readonly #signal: AbortSignal;
  #firstAskedAt: number | null = null;
  #lastAnsweredAt = 0;
  readonly #usage: Usage = { ...NOTHING_USED };
  /** The prompts of requests that are at the engine, and of those that were cut there. */
  readonly #unanswered = new Set<{ tokens: number }>();

  /** `signal` cuts the job's requests. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** `promptTokens`: an estimate, for a request that never gets its answer. */
  async count<A extends Counted>(
    promptTokens: number,
    engine: string,
    requested: string | null,
    send: () => Promise<A>,
  ): Promise<A> {
    this.#firstAskedAt ??= performance.now();
    this.#usage.engine = engine;
    this.#usage.model ??= requested;
    const sent = { tokens: promptTokens };
    this.#unanswered.add(sent);
    try {
      const answer = await send();
      this.#answered(answer, requested);
      this.#unanswered.delete(sent);
      return answer;
    } catch (thrown) {
      if (!wasCut(thrown, this.#signal)) this.#unanswered.delete(sent);
      throw thrown;
    }
  }

  #answered(answer: Counted, requested: string | null): void {
    this.#lastAnsweredAt = performance.now();
    this.#usage.requests += 1;
    this.#usage.model = answer.model ?? requested;
    this.#usage.promptTokens += answer.promptTokens;
    this.#usage.cachedTokens += answer.cachedTokens;
    this.#usage.completionTokens += answer.completionTokens;
  }

  repaired(): void {
    this.#usage.repairs += 1;
  }

  truncated(): void {
    this.#usage.truncated = (this.#usage.truncated ?? 0) + 1;
  }

  /** `inferenceMs` is from the first question to the last answer: questions may overlap, so their times do not add up. */
  used(): Usage {
    if (this.#firstAskedAt === null) return NOTHING_USED;
    const unanswered = [...this.#unanswered];
    const until = unanswered.length > 0 ? performance.now() : this.#lastAnsweredAt;
    const promptTokens = unanswered.reduce((sum, { tokens }) => sum + tokens, this.#usage.promptTokens);
    const inferenceMs = Math.max(0, Math.round(until - this.#firstAskedAt));
    return {
      ...this.#usage,
      ...(unanswered.length > 0 && { unansweredRequests: unanswered.length }),
      promptTokens,
      inferenceMs,
    };
  }
}

/** The engine worked for the request and could not say how much; a request that it refused cost nothing. */
const wasCut = (thrown: unknown, signal: AbortSignal) =>
  signal.aborted || (thrown instanceof KamadoError && thrown.code === "engine_died");
