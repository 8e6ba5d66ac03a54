// How far this machine's clock is from that of a server, by the Date of an answer. AWS refuses requests whose time is wrong, and a job that
// expires, or a signature of a callback, is judged by this clock.

import { once } from "node:events";
import { type IncomingMessage, request as plain } from "node:http";
import { request as overTls } from "node:https";
import { plural } from "../amounts.ts";

/** SQS refuses from here on; S3 from 15 minutes on. */
export const MOST_SKEW_MS = 5 * 60_000;

const ANSWER_MS = 3_000;
/** A Date has no fractions of a second. */
const HALF_A_SECOND = 500;

/** Whether it is AWS that answers there: the SDK takes emulators from its own files and variables too, and their clock may be wrong. */
export const isAws = (url: string): boolean =>
  /\.(amazonaws\.com(\.cn)?|api\.aws)$/.test(new URL(url).hostname);

/** Above 0 where this clock is ahead; null when the server does not say. Any answer will do, so none is signed. Never rejects. */
export async function clockSkewMs(origin: string, now: () => number = Date.now): Promise<number | null> {
  const before = now();
  try {
    const date = Date.parse((await dateOf(new URL("/", origin))) ?? "");
    return Number.isNaN(date) ? null : (before + now()) / 2 - (date + HALF_A_SECOND);
  } catch {
    return null;
  }
}

/** The SDK has these modules in memory; fetch would be several megabytes more in a worker. */
async function dateOf(url: URL): Promise<string | undefined> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const asking = (url.protocol === "https:" ? overTls : plain)(url, { method: "HEAD", agent: false, signal });
  const [answer] = (await once(asking.end(), "response")) as [IncomingMessage];
  answer.destroy();
  return answer.headers.date;
}

/** `12 minutes ahead of AWS`, `12 minutes behind AWS`. */
export function skewWords(skewMs: number, whose: string): string {
  const seconds = Math.round(Math.abs(skewMs) / 1_000);
  const [count, unit] =
    seconds < 120 ? ([seconds, "second"] as const) : ([Math.round(seconds / 60), "minute"] as const);
  return `${plural(count, unit)} ${skewMs < 0 ? "behind" : "ahead of"} ${whose}`;
}
