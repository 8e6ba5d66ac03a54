// An answer that may call tools. The model writes freely until the mark of a call appears; then the grammar of the tools takes over,
// from the beginning of the call as the model's template writes it. A forced call begins at once. Each of these steps is a run of
// its own in the same slot, which goes on from what the runs before it evaluated. What a call looks like is left to
// generation/tool-calls.ts, texts without calls to generate.ts.
import { randomUUID } from "node:crypto";
import { KamadoError } from "../../errors.ts";
import {
  type Backend,
  type CallFormat,
  type CallStart,
  type Conversation,
  type Generation,
  invalid,
  type Prepared,
  type Segment,
} from "../generation/backend.ts";
import { callsGrammar } from "../generation/json-schema-to-gbnf.ts";
import { JsonEnd, StopScanner } from "../generation/stopping-criteria.ts";
import { asText, beginningOf, endOfCall, PLAIN_CALL, withDescription } from "../generation/tool-calls.ts";
import type { Ended, OnPiece } from "./piece.ts";

/** Calls in one answer. A weak model would go on until the context is full. */
const MAX_CALLS = 16;
/** After a call, within so many tokens another one begins, or none does. */
const TOKENS_BETWEEN = 16;

/**
 * The request as the backend gets it first. Calls and results in the history become text where the template has no place for them.
 * Throws `invalid_input` where the model cannot do what is asked for.
 */
export function withTools(given: Generation, format: CallFormat | undefined): Generation {
  const { prompt, tools } = given;
  if ("text" in prompt) return given;
  const messages = format === undefined ? asText(prompt.messages) : prompt.messages;
  if (tools === undefined) return { ...given, prompt: { ...prompt, messages } };
  if (format === undefined && !tools.isForced) throw noTemplate();
  const { open, mark } = format ?? PLAIN_CALL;
  const start = beginningOf(format ?? PLAIN_CALL, open, tools.callable);
  // Before the model begins to write, because it may decide to call a tool only after a while.
  callsGrammar(start.calls);
  const described =
    format === undefined
      ? { ...prompt, messages: withDescription(messages, tools.callable) }
      : { ...prompt, messages, tools: tools.tools };
  if (!tools.isForced) return { ...given, prompt: described, schema: undefined, shown: [mark] };
  return asCall({ ...given, prompt: described }, format ?? PLAIN_CALL, [start.begun], start.calls);
}

const noTemplate = () =>
  invalid(
    "tools",
    "tools: this model's chat template has no place for tools, so it cannot choose by itself whether to call one. Force a call with tool_choice (required, or a function's name), use response_format, or run a model whose template has tools.",
  );

/** A run that writes one call and nothing else. */
function asCall(
  generation: Generation,
  { middle }: CallFormat,
  begun: readonly Segment[],
  calls: readonly CallStart[],
): Generation {
  const prompt = { ...(generation.prompt as Conversation), begun };
  const shown = middle.match(/<[^\s<>]+>|\[[^\s[\]]+\]/g) ?? undefined;
  return { ...generation, prompt, calls, shown, schema: undefined, stop: [], topLogprobs: undefined };
}

export type CallRun = {
  backend: Backend;
  /** As `withTools` made it, with the model's thought. */
  generation: Generation;
  /** What the client asked for, where calls are not forced and the text must fit a schema. */
  schema: Generation["schema"];
  first: Prepared;
  /** Makes an answer without calls. */
  runText(prepared: Prepared, generation: Generation): Promise<Ended>;
};

export async function runCalls(run: CallRun, onPiece: OnPiece, signal: AbortSignal): Promise<Ended> {
  const answer = new Answer(run, onPiece, signal);
  const { isForced, isParallel } = run.generation.tools!;
  if (!isForced && !(await answer.textUntilCall())) return answer.outcome;
  for (let nth = 0; await answer.call(nth); nth++)
    if (!isParallel || nth + 1 === MAX_CALLS || !(await answer.beginsAnother())) break;
  return answer.outcome;
}

/** One answer while it is made of several runs. */
class Answer {
  readonly #run: CallRun;
  readonly #onPiece: OnPiece;
  readonly #signal: AbortSignal;
  readonly #format: CallFormat;
  #begun: Segment[];
  #calls: readonly CallStart[];
  /** The run that comes next; undefined when it is still to be prepared. */
  #prepared: Prepared | undefined;
  #outcome: Ended | undefined;

  constructor(run: CallRun, onPiece: OnPiece, signal: AbortSignal) {
    const { generation, backend, first } = run;
    this.#run = run;
    this.#onPiece = onPiece;
    this.#signal = signal;
    this.#format = backend.calls ?? PLAIN_CALL;
    this.#begun = [...((generation.prompt as Conversation).begun ?? [])];
    this.#calls = generation.calls ?? [];
    this.#prepared = first;
  }

  get outcome(): Ended {
    return this.#outcome!;
  }

  /** The text before the first call, or the whole answer when there is none. */
  async textUntilCall(): Promise<boolean> {
    const { generation, schema } = this.#run;
    const isFirst = this.#format.isFirst || schema !== undefined;
    const mark = isFirst ? new BeginningScanner(this.#format.mark) : new StopScanner([this.#format.mark]);
    const stop = new StopScanner(generation.stop);
    let text = "";
    const passOn = (more: string, tokens: Parameters<OnPiece>[0]["tokens"]) => {
      const passed = stop.push(more);
      text += passed;
      this.#onPiece({ text: passed, tokens });
    };
    const isOther = () => schema !== undefined && mark instanceof BeginningScanner && mark.isOther;
    await this.#add(this.#prepared!, (token) => {
      const passed = mark.push(token.text);
      if (schema === undefined) passOn(passed, [token]);
      return !mark.stopped && !stop.stopped && !isOther();
    });
    if (mark.stopped) {
      this.#begin(this.#format.open, text);
      return true;
    }
    if (schema !== undefined) await this.#shapedText(schema);
    else passOn(mark.flush(), []);
    const rest = stop.flush();
    if (rest !== "") this.#onPiece({ text: rest, tokens: [] });
    return false;
  }

  /** The answer is no call: it begins once more, and fits the schema. */
  async #shapedText(schema: Generation["schema"]): Promise<void> {
    const { generation, backend, runText } = this.#run;
    const shaped = { ...generation, schema, shown: undefined };
    this.#join(await runText(await backend.prepare(shaped), shaped));
  }

  /** One call. False when it was cut off. */
  async call(nth: number): Promise<boolean> {
    const { generation } = this.#run;
    const wanted = asCall(generation, this.#format, this.#begun, this.#calls);
    const prepared = this.#prepared ?? (await this.#prepare(wanted));
    this.#prepared = undefined;
    if (prepared === undefined) return this.#cutOff();
    const id = `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`;
    const reader = new CallReader(this.#calls);
    let isNamed = false;
    await this.#add(prepared, (token) => {
      const text = reader.push(token.text);
      if (reader.name !== undefined && !isNamed) {
        isNamed = true;
        this.#onPiece({ text: "", tokens: [], call: { index: nth, id, name: reader.name } });
      }
      this.#onPiece({ text, tokens: [token], call: { index: nth } });
      return !reader.isComplete;
    });
    if (!reader.isComplete) return this.#cutOff();
    const { before, value } = reader;
    this.#begun.push(
      { text: before, fromOutside: false },
      { text: value, fromOutside: true },
      { text: endOfCall(this.#format, id), fromOutside: false },
    );
    this.#outcome = { ...this.outcome, finish: "tool_calls" };
    return true;
  }

  /** Lets the model write on after a call, and says whether it begins another one. */
  async beginsAnother(): Promise<boolean> {
    const { generation } = this.#run;
    const { next } = this.#format;
    if (next === undefined) return false;
    const prompt = { ...(generation.prompt as Conversation), begun: this.#begun };
    const free = { ...generation, prompt, calls: undefined, schema: undefined, topLogprobs: undefined };
    const shown = next.match(/<[^\s<>]+>|\[[^\s[\]]+\]/g) ?? undefined;
    const prepared = await this.#prepare({ ...free, stop: [], shown }, TOKENS_BETWEEN);
    if (prepared === undefined) return false;
    const scanner = new BeginningScanner(/^\s*([<[][^\s>\]]+[>\]]|,)/.exec(next)?.[1] ?? next);
    await this.#add(prepared, (token) => {
      scanner.push(token.text);
      return !scanner.stopped && !scanner.isOther;
    });
    this.#outcome = { ...this.outcome, finish: "tool_calls" };
    if (scanner.stopped) this.#begin(next);
    return scanner.stopped;
  }

  #begin(opening: string, textBefore = ""): void {
    const { begun, calls } = beginningOf(this.#format, opening, this.#run.generation.tools!.callable);
    if (textBefore !== "") this.#begun.push({ text: textBefore, fromOutside: true });
    this.#begun.push(begun);
    this.#calls = calls;
    this.#prepared = undefined;
  }

  #cutOff(): false {
    this.#outcome = { ...this.outcome, finish: "length" };
    return false;
  }

  /** Undefined when there is no room for more tokens. */
  async #prepare(generation: Generation, atMost = Number.POSITIVE_INFINITY): Promise<Prepared | undefined> {
    const { maxTokens = Number.POSITIVE_INFINITY } = generation;
    const left = Math.min(maxTokens - (this.#outcome?.completionTokens ?? 0), atMost);
    if (left < 1) return undefined;
    try {
      return await this.#run.backend.prepare({
        ...generation,
        maxTokens: Number.isFinite(left) ? left : undefined,
      });
    } catch (thrown) {
      if (thrown instanceof KamadoError && thrown.code === "context_length_exceeded") return undefined;
      throw thrown;
    }
  }

  async #add(prepared: Prepared, emit: Parameters<Prepared["run"]>[0]): Promise<void> {
    this.#join(await prepared.run(emit, this.#signal));
  }

  /** The prompt is that of the first run, and so is what of it was cached. */
  #join(outcome: Ended): void {
    const before = this.#outcome ?? { ...outcome, completionTokens: 0 };
    const completionTokens = before.completionTokens + outcome.completionTokens;
    this.#outcome = { ...before, finish: outcome.finish, completionTokens };
  }
}

/** Says whether a text begins with a mark, whatever white space is in it. Passes the text on once it is something else. */
export class BeginningScanner {
  readonly #mark: string;
  #text = "";
  stopped = false;
  isOther = false;

  constructor(mark: string) {
    this.#mark = mark.replaceAll(/\s/g, "");
  }

  push(text: string): string {
    if (this.isOther) return text;
    this.#text += text;
    const seen = this.#text.replaceAll(/\s/g, "");
    this.stopped = seen.startsWith(this.#mark);
    this.isOther = !this.stopped && !this.#mark.startsWith(seen);
    return this.isOther ? this.flush() : "";
  }

  flush(): string {
    const rest = this.stopped ? "" : this.#text;
    this.#text = "";
    return rest;
  }
}

/** Reads one call as the grammar lets it be written: a text that names the tool, then its arguments. */
class CallReader {
  name: string | undefined;
  before = "";
  value = "";
  readonly #calls: readonly CallStart[];
  readonly #end = new JsonEnd();
  #text = "";

  constructor(calls: readonly CallStart[]) {
    this.#calls = calls;
  }

  get isComplete(): boolean {
    return this.#end.closed;
  }

  /** The part of the text that belongs to the arguments. */
  push(text: string): string {
    if (this.name !== undefined) return this.#arguments(text);
    this.#text += text;
    const fitting = this.#calls.filter(({ before }) => this.#text.startsWith(before));
    const [call] = fitting.toSorted((a, b) => b.before.length - a.before.length);
    if (call === undefined) return "";
    this.name = call.tool.name;
    this.before = call.before;
    return this.#arguments(this.#text.slice(call.before.length));
  }

  #arguments(text: string): string {
    const part = this.#end.push(text);
    this.value += part;
    return part;
  }
}
