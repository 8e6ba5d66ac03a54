// One request of one job: the model it runs on, its turn among the job's other requests, the wait while the engine's
// line is full, and the meter.
import { setTimeout as sleep } from "node:timers/promises";
import { Semaphore } from "../async/semaphore.ts";
import { KamadoError } from "../errors.ts";
import type { ChatAnswer } from "./engine-answer.ts";
import type { ChatRequest, EngineClient } from "./engine-client.ts";
import type { Meter } from "./usage.ts";

export type ChatOptions = {
  client: EngineClient;
  meter: Meter;
  signal: AbortSignal;
  /** The model to ask for; the engine's first by default. */
  model?: string | undefined;
  /** The job's, 0..9. Told to our own engine alone: to others the field is unknown, or means something else. */
  priority?: number | undefined;
  /** How many requests of this job the engine sees at once. [16] */
  atOnce?: number;
};

export type Chat = (request: Omit<ChatRequest, "model" | "priority">) => Promise<ChatAnswer>;

/** What our own engine calls itself in `owned_by`. */
const OWN_ENGINE = "kamado";
const BUSY_TRIES = 4;
const BUSY_WAIT_MS = 1_000;
const MAX_BUSY_WAIT_MS = 10_000;

export function createChat({ client, meter, signal, model, priority, atOnce = 16 }: ChatOptions): Chat {
  // A handler may ask a thousand things at once; the engine's line is short and belongs to all jobs.
  const turns = new Semaphore(atOnce);
  const once: Chat = async (request) => {
    meter.asked();
    const identity = await client.identify(signal);
    const name = model ?? identity.model;
    const turn = identity.engine === OWN_ENGINE && priority !== undefined && { priority };
    const answer = await client.chat({ ...request, ...(name !== null && { model: name }), ...turn }, signal);
    meter.answered(answer, identity.engine, name);
    return answer;
  };
  return (request) => turns.take(() => waitingForRoom(signal, () => once(request)));
}

/** A full line empties by itself: giving the whole job back for it would throw its other answers away. */
async function waitingForRoom<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
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
