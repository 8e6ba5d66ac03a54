// The engine: that it answers, and that its model says a token. Which one to ask, and starting one, is up to the command.
import { type KamadoError, toKamadoError } from "../errors.ts";
import { EngineClient } from "../model/engine-client.ts";
import { type Finding, fail, failed, ok, warn } from "./finding.ts";

export type EngineAt = {
  url: string;
  token: string | undefined;
  model: string | undefined;
  /** What to do when it does not answer. */
  todo: string;
  /** That of a worker that runs, which has its token; this command may not. */
  isOfWorker?: boolean;
  /** Why it is not ready, as the worker that runs it says. */
  trouble?: { code: string; message: string; hint: string } | undefined;
};

/** A model on a CPU may need long for its first token, and jobs go on meanwhile. */
const TOKEN_MS = 60_000;

export async function engineFinding(at: EngineAt, tokenMs = TOKEN_MS): Promise<Finding> {
  const { url, token, model, todo, trouble } = at;
  const client = new EngineClient({ url, token, model });
  try {
    const health = await client.health();
    if (trouble) return fail("engine", `${trouble.code}: ${trouble.message}`, trouble.hint);
    if (health.is === "down") return fail("engine", `does not answer at ${url}: ${health.reason}`, todo);
    if (health.is === "loading")
      return warn(
        "engine",
        `loads its model, at ${url}`,
        "Wait, and run `kamado doctor` again; `kamado status` shows it too.",
      );
    return await sayToken(client, at, tokenMs);
  } finally {
    await client.close();
  }
}

async function sayToken(
  client: EngineClient,
  { url, isOfWorker = false }: EngineAt,
  tokenMs: number,
): Promise<Finding> {
  const signal = AbortSignal.timeout(tokenMs);
  const began = performance.now();
  try {
    const { model } = await client.identify(signal);
    const messages = [{ role: "user" as const, content: "Say OK." }];
    const request = { messages, max_tokens: 1, temperature: 0, ...(model !== null && { model }) };
    const answer = await client.chat(request, signal);
    const ms = Math.round(performance.now() - began);
    const name = answer.model ?? model;
    return ok("engine", `${name === null ? "its model" : name} said a token within ${ms} ms, at ${url}`);
  } catch (thrown) {
    if (!signal.aborted) return refused(toKamadoError(thrown, "engine_unavailable"), url, isOfWorker);
    return warn(
      "engine",
      `answers at ${url}, and its model said no token within ${tokenMs / 1_000} s`,
      "It may have much to do (`kamado status`). If not, stop Kamado and run `kamado doctor --deep`.",
    );
  }
}

function refused(error: KamadoError, url: string, isOfWorker: boolean): Finding {
  const status = error.detail?.httpStatus;
  if (error.code === "engine_busy")
    return warn(
      "engine",
      `answers at ${url}, and has no room just now`,
      "Run `kamado doctor` again when it has less to do.",
    );
  if (status !== 401 && status !== 403) return failed("engine", error);
  const todo = "Set KAMADO_ENGINE_TOKEN or KAMADO_ENGINE_TOKEN_FILE as the engine has it.";
  return (isOfWorker ? warn : fail)("engine", `answers at ${url}, and asks for a token (${status})`, todo);
}
