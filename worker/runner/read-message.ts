// Turns a message into a job, or into the reason why it is none. It follows pointers into a bucket, finds out which of two keys an
// event means, finds priority and tenant of a message that waits, and loads the rules file. The forms of a body are left to
// job/envelope.ts; sending on the jobs that came together in one message, to split-event.ts; what becomes of a message that is no
// job, to settle.ts.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { describeIssues, KamadoError } from "../errors.ts";
import { unpackByContent } from "../http/content-encoding.ts";
import { decodeText } from "../http/text-encoding.ts";
import type { Budgets } from "../job/budgets.ts";
import { Job, type Parsed, parseBody } from "../job/envelope.ts";
import { jsonText, parseJson } from "../job/json.ts";
import { type KeyChoice, ObjectRule } from "../job/object-rules.ts";
import { parseSent } from "../job/parse-sent.ts";
import { noSuchKind } from "../job/registry.ts";
import { tenantOf } from "../job/tenant.ts";
import { sayNearestField } from "../nearest.ts";
import type { Message } from "../queue/queue.ts";
import type { ObjectAddress } from "../storage/bucket.ts";
import { keptBelow, type ReadableObjects } from "../storage/readable-objects.ts";

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

  /** The key as it is written, if the object with the decoded one is missing and this one is what the event tells of. */
  async function isAsWritten({ bucket, decoded, written, etag }: KeyChoice, signal: AbortSignal) {
    if (etag === null || (await find({ bucket, key: decoded }, 0, signal)) !== "object_not_found")
      return false;
    const found = await find({ bucket, key: written }, POINTED_BODY_LIMIT, signal);
    return typeof found !== "string" && withoutQuotes(found.etag) === withoutQuotes(etag);
  }

  /** The object, or the code that tells why not. Throws what another attempt may mend. */
  const find = (address: ObjectAddress, maxBytes: number, signal: AbortSignal) =>
    objects.get(address, { maxBytes, signal }).catch((thrown) => {
      if (thrown instanceof KamadoError && !thrown.retry) return thrown.code;
      throw thrown;
    });

  async function parse(body: string, message: Message, signal: AbortSignal): Promise<Parsed> {
    const { id: messageId, trace } = message;
    const context = { messageId, rules, budgets, checkObject: objects.check, trace };
    const choices = new Map<string, KeyChoice>();
    const first = parseBody(body, {
      ...context,
      chooseKey: (choice) => {
        choices.set(addressOfKey(choice), choice);
        return choice.decoded;
      },
    });
    const written = new Set<string>();
    for (const [address, choice] of choices) if (await isAsWritten(choice, signal)) written.add(address);
    if (written.size === 0) return first;
    const chooseKey = (choice: KeyChoice) =>
      written.has(addressOfKey(choice)) ? choice.written : choice.decoded;
    return parseBody(body, { ...context, chooseKey });
  }

  return async (message, signal) => {
    const parsed = await parse(message.body, message, signal);
    if (parsed.is !== "pointer") return parsed;
    try {
      const inner = await parse(await follow(parsed, signal), message, signal);
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

const addressOfKey = ({ bucket, written }: KeyChoice) => JSON.stringify([bucket, written]);
const withoutQuotes = (etag: string) => etag.replaceAll('"', "");

/** What decides when a waiting message starts. A body that cannot be read yet, such as a pointer, asks for nothing itself. */
export function turnOf(
  message: Message,
  rules: readonly ObjectRule[],
  budgets: Budgets,
): { priority: number; tenant: string | null } {
  const parsed = parseBody(message.body, { messageId: message.id, rules, budgets });
  const policy = parsed.is === "job" ? parsed.job.policy : {};
  return { priority: policy.priority ?? DEFAULT_PRIORITY, tenant: tenantOf(policy, message) };
}

const Rules = z.array(ObjectRule, "must be a list of rules: [{ … }]");

/**
 * Reads the file that says which uploaded object becomes which job. Throws `config_invalid`, which names entry and field, also for a
 * rule whose kind is none of `kinds`, and for one that covers what Kamado itself writes into its bucket `own`.
 */
export function loadRules(path: string | undefined, kinds: readonly string[], own: string): ObjectRule[] {
  if (path === undefined) return [];
  const fail = (problem: string, cause?: unknown) =>
    new KamadoError("config_invalid", `KAMADO_RULES_FILE (${path}): ${problem}`, {
      cause,
      hint: RULES_HINT,
    });
  const json = parseRules(path, fail);
  const rules = Rules.safeParse(json, { error: sayNearestField });
  if (!rules.success) throw fail(describeIssues(rules.error, json));
  for (const [index, { kind, prefix, bucket = own, input, deliver, policy }] of rules.data.entries()) {
    if (!kinds.includes(kind)) throw fail(`${index}.kind: ${noSuchKind(kind, kinds)}.`);
    // What each upload would be refused for.
    const job = parseSent(Job, { id: "rule", kind, input, deliver, policy });
    if (!job.success) throw fail(`${index}, as a job: ${describeIssues(job.error, job.value)}`);
    const kept = bucket === own && keptBelow(prefix);
    if (kept) throw fail(`${index}.prefix: ${coversKept(prefix, kept, own)}`);
  }
  return rules.data;
}

/** Every result would be an upload that makes another job. */
const coversKept = (prefix: string, kept: string, own: string) =>
  `${JSON.stringify(prefix)} covers ${kept}, where Kamado itself writes in the bucket ${own}: no job may be made of that, nor read it. Give a prefix for uploads alone, such as "in/doors/", or the "bucket" that the rule is about if it is another.`;

const RULES_HINT =
  'Correct the file. It is a JSON list; a rule is {"prefix": "in/doors/", "kind": "image.check", "input": {"image": "$object", …}} (README, "A job for every upload").';

function parseRules(path: string, fail: (problem: string, cause?: unknown) => KamadoError): unknown {
  try {
    return parseJson(jsonText(readFileSync(path)));
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw fail(code === undefined ? `it is not JSON: ${message}` : `it cannot be read (${code}).`, thrown);
  }
}
