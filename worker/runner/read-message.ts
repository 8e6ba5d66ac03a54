// The parse stage: from a message body to a job, following a pointer into the bucket when the body is one.

import { readFileSync } from "node:fs";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { type Job, type Parsed, parseBody } from "../job/envelope.ts";
import { ObjectRule } from "../job/object-rules.ts";
import type { Message, Queue } from "../queue/queue.ts";
import type { Buckets } from "../storage/bucket.ts";

/** Bodies behind a pointer may be this long. Bytes. */
const POINTED_BODY_LIMIT = 16 * 1024 * 1024;

export type ReadJob = (message: Message, signal: AbortSignal) => Promise<Exclude<Parsed, { is: "pointer" }>>;

export function createReadJob(options: {
  /** The buckets that a pointer may name. */
  buckets: Buckets;
  rules: readonly ObjectRule[];
}): ReadJob {
  const { buckets, rules } = options;

  const follow = async (name: string, key: string, signal: AbortSignal): Promise<string> => {
    const bucket = buckets.get(name);
    if (!bucket)
      throw new KamadoError(
        "object_forbidden",
        `The pointer names the bucket ${name}, which is not allowed.`,
      );
    const { bytes } = await bucket.get(key, { maxBytes: POINTED_BODY_LIMIT, signal });
    return new TextDecoder().decode(bytes);
  };

  return async (message, signal) => {
    const context = { messageId: message.id, rules };
    const parsed = parseBody(message.body, context);
    if (parsed.is !== "pointer") return parsed;
    try {
      const inner = parseBody(await follow(parsed.bucket, parsed.key, signal), context);
      if (inner.is !== "pointer") return inner;
      throw new KamadoError("pointer_unreadable", "The pointer leads to another pointer.");
    } catch (thrown) {
      if (!(thrown instanceof KamadoError) || thrown.retry) throw thrown;
      return {
        is: "malformed",
        error: new KamadoError("pointer_unreadable", thrown.message, { cause: thrown }),
      };
    }
  };
}

/** The priority a waiting message asks for; what cannot be read yet has the middle one. */
export function priorityOf(message: Message, rules: readonly ObjectRule[]): number {
  const parsed = parseBody(message.body, { messageId: message.id, rules });
  return parsed.is === "job" ? (parsed.job.policy.priority ?? DEFAULT_PRIORITY) : DEFAULT_PRIORITY;
}
export const DEFAULT_PRIORITY = 5;

// Jobs that came together in one message, sent on as messages of their own. In a FIFO queue they keep the group of the
// message they came in; a second try after a failure sends none twice.
export async function enqueueAll(
  queue: Pick<Queue, "send">,
  jobs: readonly Job[],
  group: string | null,
): Promise<void> {
  for (const job of jobs)
    await queue.send(JSON.stringify(job), { ...(group !== null && { group }), deduplicationId: job.id });
}

// The file that says which uploaded object becomes which job.
/** Throws `config_invalid`, which names the entry and the field. */
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
