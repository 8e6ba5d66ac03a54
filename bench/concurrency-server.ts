// The server whose concurrency is measured: any with OpenAI's API, by --url; without it our own engine on a model file.
import { KamadoError } from "../worker/errors.ts";
import { addressOf, fileOf, oneOf, type Values, whole } from "./arguments.ts";
import { neverEnding } from "./endings.ts";
import { startOurEngine } from "./engine-process.ts";
import { completion, type More, runLoad, type Target } from "./load.ts";
import { modelFile, modelWords } from "./machine.ts";
import { lengthFor, textOf } from "./prompts.ts";
import { FORMATS, smallModel } from "./random-model.ts";
import type { Session } from "./session.ts";

export type Server = Target & {
  /** What every completion says besides. */
  more: More;
  /** Of our own engine. */
  pid?: number;
  facts: Record<string, string | number>;
  stop(): Promise<void>;
};

const CONTEXT = 2_048;

export async function serverFor(values: Values, slots: number, session: Session): Promise<Server> {
  const url = addressOf(values, "url");
  if (url !== undefined) {
    const { token, model } = values as Record<string, string | undefined>;
    const facts = { server: url, ...(model !== undefined && { model }) };
    return { url, token, more: model === undefined ? {} : { model }, facts, stop: async () => {} };
  }
  const threads = whole(values, "threads");
  const own = fileOf(values, "model");
  const model = own ?? (await smallModel(oneOf(values, "format", FORMATS)));
  const more = own === undefined ? {} : { logit_bias: await neverEnding(own) };
  const flags = { model, backend: "node-llama-cpp" as const, slots, threads, contextSize: CONTEXT };
  const engine = await startOurEngine(flags, session);
  const facts = { server: "our engine", model: modelWords(modelFile(model)), threads, slots };
  return { ...engine, token: undefined, more, facts };
}

/** How many characters make a prompt of so many tokens, found by asking. */
export async function lengthOf(tokens: number, server: Server, signal: AbortSignal): Promise<number> {
  const probe = textOf(400, 999);
  const { answers } = await runLoad([completion(probe, 1, server.more)], server, 1, signal);
  const { promptTokens, failure } = answers[0]!;
  if (failure !== undefined)
    throw new KamadoError("engine_unavailable", `${server.url} does not answer as it should: ${failure}`);
  return lengthFor(tokens, { characters: probe.length, tokens: promptTokens });
}
