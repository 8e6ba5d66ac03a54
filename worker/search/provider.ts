// The port to one search service: what it is asked, what its answers mean, how fast it may be asked. Pure: search.ts sends the
// requests and waits. Adapters: searxng.ts, brave.ts, tavily.ts, serpapi.ts.
import type { Send } from "../outbound/outbound.ts";
import type { RawHit } from "./hits.ts";

/** What is asked for one page of results. */
export type Asked = {
  query: string;
  /** How many results are wanted at most. */
  count: number;
  /** As BCP 47 has it, in lower case: `ja`, `pt-br`. */
  language: string | undefined;
  /** From 0. */
  page: number;
};

/** Where the service is, with the key that it wants; the empty text where it wants none. */
export type At = { base: string; key: string };

export type Sent = Pick<Send, "method" | "url" | "headers" | "body">;

/** `json` is undefined where the body is none. */
export type Said = { status: number; headers: Record<string, string>; text: string; json: unknown };

export type Refusal =
  /** It may be asked again after so many ms, or after a while. */
  | { is: "wait"; ms?: number | undefined }
  /** It may pass by itself. */
  | { is: "failed"; why: string }
  /** Somebody has to change something: the address, the key, a setting of the service, the plan. */
  | { is: "rejected"; why: string; hint?: string };

/** What can be told of the service without a search. `found` is for the owner. */
export type Look = { is: "ok" | "unclear"; found: string } | { is: "bad"; refusal: Refusal };

export type Provider = {
  name: "searxng" | "brave" | "tavily" | "serpapi";
  /** As its makers write it. */
  title: string;
  /** Undefined where it is the owner's own. */
  url: string | undefined;
  needsKey: boolean;
  /** How many requests it may have at once, and the shortest time between two, until it says otherwise. */
  atOnce: number;
  gapMs: number;
  /** Pages of results that one search may take: each is a request that counts. */
  pages: number;
  request(asked: Asked, at: At): Sent;
  /** `null` for an answer that is not this service's. */
  hits(json: unknown): readonly RawHit[] | null;
  /** What an answer other than results means, where the service has a meaning of its own for it. */
  refusal(said: Said): Refusal | null;
  /** What an answer says of the pace. */
  gapFrom?(headers: Record<string, string>): number | undefined;
  /** What its account says: how many searches it may do in an hour, and how many of them are done. It costs no search. */
  account?: {
    request(at: At): Sent;
    read(json: unknown): { hourly?: number; usedThisHour?: number; left?: number; renews?: string };
  };
  /** Says whether address and key work, and costs no search. */
  look: { request(at: At): Sent; read(said: Said): Look };
};

export type Fields = Record<string, unknown>;

/** The fields of an object; none of anything else. */
export const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};

/** The objects of a list. */
export const objectsIn = (value: unknown): Fields[] =>
  Array.isArray(value)
    ? value.filter((one) => typeof one === "object" && one !== null && !Array.isArray(one))
    : [];

export const numberOf = (value: unknown): number | undefined => {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
};

/** Below the base, whether that ends with a slash or not. */
export function addressAt(
  base: string,
  path: string,
  query: Record<string, string | undefined> = {},
): string {
  const url = new URL(`${base.replace(/\/+$/, "")}${path}`);
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, value);
  return url.href;
}

export const WRONG_KEY = "Correct KAMADO_SEARCH_KEY; docs/research.md says where each service shows its key.";
export const USED_UP =
  "Wait until the service renews the quota, change the plan there, or set KAMADO_SEARCH to another service (docs/research.md).";
