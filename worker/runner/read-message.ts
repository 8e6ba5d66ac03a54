// Turns a message into a job, or into the reason why it is none. It follows pointers into a bucket, finds the priority of a message
// that waits, and loads the rules file. The forms of a body are left to job/envelope.ts; sending on the jobs that came together in
// one message, to split-event.ts; what becomes of a message that is no job, to settle.ts.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { unpackByContent } from "../http/content-encoding.ts";
import { decodeText } from "../http/text-encoding.ts";
import type { Budgets } from "../job/budgets.ts";
import { type Parsed, parseBody } from "../job/envelope.ts";
import { ObjectRule } from "../job/object-rules.ts";
import type { Message } from "../queue/queue.ts";
import type { ObjectAddress } from "../storage/bucket.ts";
import type { ReadableObjects } from "../storage/readable-objects.ts";

/** The priority of a job that asks for none. */
export const DEFAULT_PRIORITY = 5;
/** A body behind a pointer may be this long. Bytes. */
const POINTED_BODY_LIMIT = 16 * 1024 * 1024;

/** Throws only what another attempt may mend; a body that is no job is `malformed`. */
export type ReadMessage = (
  message: Message,
  signal: AbortSignal,
) => Promise<Exclude<Parsed, { is: "pointer" }>>;

export function createReadMessage(options: {
  objects: ReadableObjects;
  rules: readonly ObjectRule[];
  budgets: Budgets;
}): ReadMessage {
  const { objects, rules, budgets } = options;

  async function follow(address: ObjectAddress, signal: AbortSignal): Promise<string> {
    const { bytes, contentType } = await objects.get(address, { maxBytes: POINTED_BODY_LIMIT, signal });
    const unpacked = await unpackByContent(bytes, {
      maxBytes: POINTED_BODY_LIMIT,
      tooLarge: () =>
        new KamadoError("body_too_large", `the body has more than ${POINTED_BODY_LIMIT} bytes.`),
      broken: (why) => new KamadoError("malformed_json", `the body ${why}.`),
    });
    const text = decodeText(unpacked, contentType);
    if (text === null)
      throw new KamadoError("malformed_json", "the body is in no character set that is known.");
    return text;
  }

  return async (message, signal) => {
    const context = { messageId: message.id, rules, budgets, checkObject: objects.check };
    const parsed = parseBody(message.body, context);
    if (parsed.is !== "pointer") return parsed;
    try {
      const inner = parseBody(await follow(parsed, signal), context);
      if (inner.is !== "pointer") return inner;
      throw new KamadoError("pointer_unreadable", "The pointer leads to another pointer.");
    } catch (thrown) {
      if (!(thrown instanceof KamadoError) || thrown.retry) throw thrown;
      const error = new KamadoError("pointer_unreadable", `The pointer: ${thrown.message}`, {
        cause: thrown,
      });
      return { is: "malformed", error };
    }
  };
}

/** The priority that a waiting message asks for. A body that cannot be read yet, such as a pointer, has the default. */
export function priorityOf(message: Message, rules: readonly ObjectRule[], budgets: Budgets): number {
  const parsed = parseBody(message.body, { messageId: message.id, rules, budgets });
  return parsed.is === "job" ? (parsed.job.policy.priority ?? DEFAULT_PRIORITY) : DEFAULT_PRIORITY;
}

/** Reads the file that says which uploaded object becomes which job. Throws `config_invalid`, which names entry and field. */
export function loadRules(path: string | undefined): ObjectRule[] {
  if (path === undefined) return [];
  try {
    return z.array(ObjectRule).parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (thrown) {
    throw new KamadoError("config_invalid", `KAMADO_RULES_FILE: ${(thrown as Error).message}`, {
      cause: thrown,
    });
  }
}
