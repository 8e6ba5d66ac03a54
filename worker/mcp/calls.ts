// What a call of a tool does, and what a model is told of it: job, result or error as one object, and the same as text. How calls come in is
// left to protocol.ts. Never throws: an error is an answer that says what to do.
import { readOnly, type Visitor } from "../access/access.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { checkSent } from "../job/check-values.ts";
import { handlerOf, type Known, type Registry } from "../job/registry.ts";
import type { NewJob, SendJobs } from "../job/send-jobs.ts";
import { excessOfValue } from "../job/structure.ts";
import type { Log } from "../logging/log.ts";
import { nearest } from "../nearest.ts";
import { printable } from "../printable.ts";
import type { Ended, FollowJobs, InHand } from "./follow-jobs.ts";
import { uploaded, withDataUris } from "./pictures.ts";
import {
  ARGUMENTS,
  fixedTools,
  isFixed,
  type KindTool,
  kindTools,
  LONGEST_WAIT,
  READ_ONLY,
  schemaOf,
  type Tool,
} from "./tools.ts";

export type CallDeps = {
  registry: Registry;
  send: SendJobs;
  jobs: FollowJobs;
  log: Pick<Log, "info">;
};

/** Who calls, and how long he listens. */
export type Caller = {
  visitor: Visitor;
  signal: AbortSignal;
  onChange?: ((now: InHand) => void) | undefined;
};

export type Answer = {
  content: { type: "text"; text: string }[];
  structuredContent: Record<string, unknown>;
  isError?: boolean;
};

/** Calls that wait at the same time. One more is told at once that its job runs. */
const MOST_WAITING = 64;

const LATER = "It has not ended yet. Call job_result with this id.";
const UNKNOWN =
  "There is no result, and this worker has not seen the job since it started: it waits in the queue, another worker has it, or the id is wrong.";

export class Calls {
  readonly #deps: CallDeps;
  readonly #jobs: FollowJobs;
  #waiting = 0;

  constructor(deps: CallDeps) {
    this.#deps = deps;
    this.#jobs = deps.jobs;
  }

  /** Who may only read sees the tools that work for him. */
  tools({ mayChange }: Visitor): Tool[] {
    const all = [...fixedTools(), ...[...kindTools(this.#deps.registry).values()].map(({ tool }) => tool)];
    return mayChange ? all : all.filter(({ name }) => READ_ONLY.includes(name));
  }

  async call(name: string, given: unknown, caller: Caller): Promise<Answer> {
    try {
      if (!READ_ONLY.includes(name)) this.#checkAndLog(name, caller.visitor);
      const excess = excessOfValue(given);
      if (excess !== null) throw new KamadoError("invalid_input", `What was given ${excess}.`);
      if (isFixed(name)) return await this.#fixed[name](given ?? {}, caller);
      const tools = kindTools(this.#deps.registry);
      const tool = tools.get(name);
      if (!tool) throw noSuchTool(name, [...tools.keys()]);
      return await this.#runKind(tool, given ?? {}, caller);
    } catch (thrown) {
      const { code, message, hint } = toKamadoError(thrown, "handler_failed");
      return answer({ status: "refused", error: { code, message, hint } }, true);
    }
  }

  #checkAndLog(name: string, { mayChange, by, name: user = by }: Visitor): void {
    const tool = printable(name, { max: 80 });
    if (!mayChange) throw readOnly(`${tool} starts or ends jobs`);
    this.#deps.log.info(
      { stage: "console", who: printable(user, { max: 200 }), by },
      `calls the tool ${tool}`,
    );
  }

  readonly #fixed = {
    start_job: async (given: unknown) => {
      const { kind, input, id, policy } = checkSent(ARGUMENTS.start_job, given);
      const sent = await this.#send({ kind, input, ...(id && { id }), ...(policy && { policy }) });
      return answer({ ...sent, status: "queued", note: LATER });
    },
    job_status: async (given: unknown, { signal }: Caller) => {
      const { id } = checkSent(ARGUMENTS.job_status, given);
      const ended = await this.#jobs.find(id, signal);
      if (!ended) return this.#notEnded(id);
      const { kind, status, error } = ended;
      return answer({ id, kind, status, error, note: "job_result returns all of it." });
    },
    job_result: async (given: unknown, caller: Caller) => {
      const { id, wait_seconds: seconds } = checkSent(ARGUMENTS.job_result, given);
      return this.#result(id, seconds, caller);
    },
    cancel_job: async (given: unknown) => {
      const { id } = checkSent(ARGUMENTS.cancel_job, given);
      const { is } = await this.#deps.send.cancel(id);
      const ended = await this.#jobs.find(id);
      if (ended) return answer({ id, kind: ended.kind, status: ended.status, note: "It had ended already." });
      const { status = "queued" } = this.#jobs.inHand(id) ?? {};
      return answer({ id, status, note: `Its cancellation is ${is}; job_result says when it has ended.` });
    },
    list_kinds: async (given: unknown) => {
      const { kind } = checkSent(ARGUMENTS.list_kinds, given);
      const { registry } = this.#deps;
      const names = new Map([...kindTools(registry)].map(([name, { handler }]) => [handler.kind, name]));
      if (kind === undefined)
        return answer({ kinds: [...registry.values()].map((one) => shortOf(one, names)) });
      const handler = handlerOf(registry, kind);
      const schemas = { input: schemaOf(handler.input, "input"), output: schemaOf(handler.output, "output") };
      return answer({ kinds: [{ ...shortOf(handler, names), ...schemas }] });
    },
  };

  async #runKind({ handler: { kind }, whole }: KindTool, given: unknown, caller: Caller): Promise<Answer> {
    const input = whole ? (given as { input?: unknown }).input : given;
    const { id } = await this.#send({ kind, input });
    return this.#result(id, LONGEST_WAIT, caller, kind);
  }

  /** Refuses what the kind's schema refuses, before anything is uploaded or sent. */
  async #send({ input: given, ...job }: NewJob): Promise<{ id: string; kind: string }> {
    const { registry, send } = this.#deps;
    const handler = handlerOf(registry, job.kind);
    if (handler.broken) throw handler.broken;
    const input = withDataUris(given);
    const read = checkSent(handler.input, input);
    const { id, kind } = await send.send({ ...job, input: await uploaded(input, read, handler, send) });
    this.#jobs.sent(id);
    return { id, kind };
  }

  async #result(id: string, seconds: number, { signal, onChange }: Caller, kind?: string): Promise<Answer> {
    const forMs = this.#waiting < MOST_WAITING ? seconds * 1_000 : 0;
    this.#waiting++;
    try {
      const ended = await this.#jobs.wait(id, { forMs, signal, onChange });
      return ended ? endedAnswer(ended) : this.#notEnded(id, kind);
    } finally {
      this.#waiting--;
    }
  }

  #notEnded(id: string, kind?: string): Answer {
    const inHand = this.#jobs.inHand(id);
    const about = { id, ...(kind !== undefined && { kind }) };
    return answer(
      inHand ? { ...about, ...inHand, note: LATER } : { ...about, status: "queued", note: UNKNOWN },
    );
  }
}

function endedAnswer({ id, kind, status, output, error, receipt }: Ended): Answer {
  return answer({ id, kind, status, output, error, receipt }, status !== "succeeded");
}

/** The text is for clients that know no structured content. */
function answer(content: Record<string, unknown>, isError = false): Answer {
  const text = JSON.stringify(content);
  return {
    content: [{ type: "text", text }],
    // Without fields that are undefined, which its schema does not know.
    structuredContent: JSON.parse(text),
    ...(isError && { isError }),
  };
}

function shortOf({ kind, summary, broken }: Known, names: ReadonlyMap<string, string>) {
  if (!broken) return { kind, summary, tool: names.get(kind) };
  return { kind, error: { code: broken.code, message: broken.message, hint: broken.hint } };
}

function noSuchTool(name: string, kinds: readonly string[]): KamadoError {
  const all = [...Object.keys(ARGUMENTS), ...kinds];
  const near = nearest(name, all);
  const meant = near === undefined ? "" : ` Did you mean ${near}?`;
  return new KamadoError("unknown_kind", `There is no tool "${printable(name, { max: 80 })}".${meant}`, {
    hint: "list_kinds lists the kinds and their tools.",
  });
}
