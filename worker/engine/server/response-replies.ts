// What goes out by /v1/responses: an answer as a list of items (thought, text, calls), whole or as the sequence of events by which
// clients build the same list. Nothing is stored, and the reply says so.
import { randomUUID } from "node:crypto";
import type { Answered } from "../scheduler/generate.ts";
import type { Piece } from "../scheduler/piece.ts";
import type { OpenAiError } from "./openai-errors.ts";
import { chatLogprobs, type Head, type Json, type ReplyFormat, type ReplyStream } from "./replies.ts";
import type { RememberedItems } from "./response-items.ts";
import type { ResponseRequest } from "./responses.ts";

export function responseFormat(asked: ResponseRequest, items: RememberedItems): ReplyFormat {
  return {
    idPrefix: "resp_",
    whole(head, [choice]) {
      const { pieces, answered } = choice!;
      const output = new Output();
      for (const piece of pieces) output.add(piece);
      output.close(statusOf(answered));
      for (const item of output.items) items.keep(item);
      return responseOf(head, asked, output.items, answered);
    },
    stream: (head) => new Events(head, asked, items),
  };
}

const statusOf = ({ finish }: Answered) =>
  finish === "length" || finish === "repetition" ? "incomplete" : "completed";

function responseOf(head: Head, asked: ResponseRequest, output: readonly Item[], answered?: Answered): Json {
  const status = answered === undefined ? "in_progress" : statusOf(answered);
  return {
    id: head.id,
    object: "response",
    created_at: head.created,
    status,
    background: false,
    error: null,
    incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
    instructions: asked.instructions ?? null,
    max_output_tokens: asked.max_output_tokens ?? null,
    metadata: asked.metadata,
    model: head.model,
    output,
    parallel_tool_calls: asked.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: asked.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: asked.temperature,
    text: { format: asked.text?.format ?? { type: "text" } },
    tool_choice: asked.tool_choice ?? "auto",
    tools: (asked.tools ?? []).map((tool) => ({ strict: false, ...tool })),
    top_p: asked.top_p,
    truncation: "disabled",
    usage: answered ? usageOf(answered) : null,
    user: null,
  };
}

function usageOf({ promptTokens, cachedTokens, completionTokens, reasoningTokens }: Answered): Json {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}

type Status = "in_progress" | "completed" | "incomplete";
type TextPart = { type: "output_text"; text: string; annotations: []; logprobs: unknown[] };
type MessageItem = { id: string; type: "message"; status: Status; role: "assistant"; content: [TextPart] };
type ThoughtPart = { type: "reasoning_text"; text: string };
type ThoughtItem = { id: string; type: "reasoning"; status: Status; summary: []; content: [ThoughtPart] };
type CallItem = {
  id: string;
  type: "function_call";
  status: Status;
  call_id: string;
  name: string;
  arguments: string;
};
type Item = MessageItem | ThoughtItem | CallItem;

const idOf = (prefix: string) => `${prefix}_${randomUUID().replaceAll("-", "")}`;

/** The items of an answer, made from its pieces in their order. */
class Output {
  readonly items: Item[] = [];

  get last(): Item | undefined {
    return this.items.at(-1);
  }

  /** True when the piece begins a new item. */
  add(piece: Piece): boolean {
    const isNew = this.#begins(piece);
    if (isNew) this.close("completed");
    if (isNew) this.items.push(itemFor(piece));
    const item = this.last;
    if (item === undefined || isOutside(item, piece)) return false;
    if (item.type === "function_call") item.arguments += piece.text;
    else item.content[0].text += piece.text;
    if (item.type === "message") item.content[0].logprobs.push(...logprobsOf(piece));
    return isNew;
  }

  close(status: Status): void {
    if (this.last !== undefined) this.last.status = status;
  }

  #begins({ text, thought, call }: Piece): boolean {
    if (call !== undefined) return call.name !== undefined;
    // White space between calls is no text.
    if (text === "" || (this.last?.type !== "message" && !thought && text.trim() === "")) return false;
    return this.last?.type !== (thought ? "reasoning" : "message");
  }
}

function itemFor({ call, thought }: Piece): Item {
  const status = "in_progress";
  if (call?.name !== undefined) {
    const { id: call_id = "", name } = call;
    return { id: idOf("fc"), type: "function_call", status, call_id, name, arguments: "" };
  }
  if (thought) {
    const content: [ThoughtPart] = [{ type: "reasoning_text", text: "" }];
    return { id: idOf("rs"), type: "reasoning", status, summary: [], content };
  }
  const content: [TextPart] = [{ type: "output_text", text: "", annotations: [], logprobs: [] }];
  return { id: idOf("msg"), type: "message", status, role: "assistant", content };
}

const logprobsOf = (piece: Piece) => (chatLogprobs([piece])?.content ?? []) as unknown[];

/** The events of one answer. Every item is announced, filled, and closed before the next one begins. */
class Events implements ReplyStream {
  readonly #head: Head;
  readonly #asked: ResponseRequest;
  readonly #remembered: RememberedItems;
  readonly #output = new Output();
  #sequence = 0;

  constructor(head: Head, asked: ResponseRequest, remembered: RememberedItems) {
    this.#head = head;
    this.#asked = asked;
    this.#remembered = remembered;
  }

  first(): Json[] {
    const response = responseOf(this.#head, this.#asked, []);
    return [this.#event("response.created", { response }), this.#event("response.in_progress", { response })];
  }

  piece(_index: number, piece: Piece): Json[] {
    const before = this.#output.last;
    const isNew = this.#output.add(piece);
    const begun = isNew ? [...(before ? this.#closed(before) : []), ...this.#opened()] : [];
    const item = this.#output.last;
    if (item === undefined || piece.text === "" || isOutside(item, piece)) return begun;
    return [...begun, this.#delta(item, piece)];
  }

  last(_index: number, answered: Answered): Json[] {
    const item = this.#output.last;
    this.#output.close(statusOf(answered));
    return item ? this.#closed(item) : [];
  }

  end([answered]: readonly Answered[]): Json[] {
    for (const item of this.#output.items) this.#remembered.keep(item);
    const response = responseOf(this.#head, this.#asked, this.#output.items, answered);
    return [this.#event(`response.${statusOf(answered!)}`, { response })];
  }

  failed({ error }: OpenAiError): Json[] {
    const response = {
      ...responseOf(this.#head, this.#asked, this.#output.items),
      status: "failed",
      error: { code: error.code, message: error.message },
    };
    return [this.#event("response.failed", { response })];
  }

  #opened(): Json[] {
    const item = this.#output.last!;
    const { text: _, ...empty } = item.type === "function_call" ? { text: "" } : item.content[0];
    const shown = item.type === "function_call" ? { ...item, arguments: "" } : { ...item, content: [] };
    const added = this.#event("response.output_item.added", { output_index: this.#at, item: shown });
    if (item.type === "function_call") return [added];
    return [added, this.#partEvent("response.content_part.added", item, { ...empty, text: "" })];
  }

  #delta(item: Item, piece: Piece): Json {
    const of = { item_id: item.id, output_index: this.#at };
    if (item.type === "function_call")
      return this.#event("response.function_call_arguments.delta", { ...of, delta: piece.text });
    const delta = { ...of, content_index: 0, delta: piece.text };
    if (item.type === "reasoning") return this.#event("response.reasoning_text.delta", delta);
    return this.#event("response.output_text.delta", { ...delta, logprobs: logprobsOf(piece) });
  }

  #closed(item: Item): Json[] {
    const output_index = this.#output.items.indexOf(item);
    const of = { item_id: item.id, output_index };
    const done = () => this.#event("response.output_item.done", { output_index, item });
    if (item.type === "function_call") {
      const { name, arguments: json } = item;
      return [this.#event("response.function_call_arguments.done", { ...of, name, arguments: json }), done()];
    }
    const [part] = item.content;
    const kind = item.type === "reasoning" ? "response.reasoning_text.done" : "response.output_text.done";
    const logprobs = part.type === "output_text" ? { logprobs: part.logprobs } : {};
    return [
      this.#event(kind, { ...of, content_index: 0, text: part.text, ...logprobs }),
      this.#partEvent("response.content_part.done", item, part),
      done(),
    ];
  }

  #partEvent(type: string, item: Item, part: object): Json {
    const output_index = this.#output.items.indexOf(item);
    return this.#event(type, { item_id: item.id, output_index, content_index: 0, part });
  }

  get #at(): number {
    return this.#output.items.length - 1;
  }

  #event(type: string, rest: Json): Json {
    return { type, sequence_number: this.#sequence++, ...rest };
  }
}

/** White space that belongs to no item. */
function isOutside(item: Item, { call, thought }: Piece): boolean {
  if (call !== undefined) return item.type !== "function_call";
  return item.type !== (thought ? "reasoning" : "message");
}
