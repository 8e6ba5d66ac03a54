// Who signed in on the page: a random value in a cookie, and here its HMAC under the token that was given. So nothing that is kept lets
// anybody in, and another token ends every session of the one before. They are kept in a file of the data folder, which makes them outlive a
// restart and serve several workers of one folder; where it cannot be written, a restart ends them.
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import type { Secret } from "../config/secret.ts";
import { writeStateFile } from "../state-file.ts";

/** By what they let their owner do. */
export type Tokens = { token?: Secret | undefined; readToken?: Secret | undefined };

export type SessionOptions = Tokens & {
  /** Undefined: kept in memory alone. */
  file?: string | undefined;
  /** Epoch milliseconds. */
  wall(): number;
};

export const SESSION_SECONDS = 7 * 86_400;
/** The oldest ends when there are more. */
export const MOST_SESSIONS = 100;

const Kept = z.object({ sessions: z.array(z.object({ id: z.string(), expires: z.number() })) });

export class Sessions {
  readonly #options: SessionOptions;
  /** When each ends, in epoch milliseconds, the oldest first. */
  #ends = new Map<string, number>();
  #version = "";

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** The value of a new session's cookie, for whoever has shown this token. */
  begin(token: Secret): string {
    this.#read();
    const value = randomBytes(32).toString("base64url");
    this.#ends.set(idOf(value, token), this.#options.wall() + SESSION_SECONDS * 1_000);
    this.#forget();
    this.#write();
    return value;
  }

  /** What a cookie lets its owner do; undefined when it is none of ours, or its time is over. */
  find(value: string): { mayChange: boolean } | undefined {
    if (!VALUE.test(value)) return undefined;
    this.#read();
    const { token, readToken } = this.#options;
    if (this.#isOpen(value, token)) return { mayChange: true };
    return this.#isOpen(value, readToken) ? { mayChange: false } : undefined;
  }

  end(value: string): void {
    this.#read();
    for (const token of [this.#options.token, this.#options.readToken])
      if (token !== undefined && this.#ends.delete(idOf(value, token))) this.#write();
  }

  #isOpen(value: string, token: Secret | undefined): boolean {
    return token !== undefined && (this.#ends.get(idOf(value, token)) ?? 0) > this.#options.wall();
  }

  #forget(): void {
    const now = this.#options.wall();
    const open = [...this.#ends].filter(([, ends]) => ends > now);
    this.#ends = new Map(open.slice(-MOST_SESSIONS));
  }

  /** Another worker may have written it. */
  #read(): void {
    const version = versionOf(this.#options.file);
    if (version === undefined || version === this.#version) return;
    this.#version = version;
    const kept = readKept(this.#options.file!);
    if (kept) this.#ends = new Map(kept.slice(-MOST_SESSIONS).map(({ id, expires }) => [id, expires]));
  }

  #write(): void {
    const { file } = this.#options;
    if (file === undefined) return;
    const sessions = [...this.#ends].map(([id, expires]) => ({ id, expires }));
    try {
      writeStateFile(file, { sessions });
      this.#version = versionOf(file) ?? "";
    } catch {
      // A container may have no folder to write: then they live as long as the process.
    }
  }
}

/** 32 bytes in base64url. */
const VALUE = /^[\w-]{43}$/;

const idOf = (value: string, token: Secret) =>
  createHmac("sha256", token.reveal()).update(`kamado session ${value}`).digest("base64url");

function versionOf(file: string | undefined): string | undefined {
  const found = file === undefined ? undefined : statSync(file, { bigint: true, throwIfNoEntry: false });
  return found && `${found.ino}:${found.size}:${found.mtimeNs}`;
}

/** Undefined when it cannot be read: what is in memory goes on. */
function readKept(file: string) {
  try {
    return Kept.parse(JSON.parse(readFileSync(file, "utf8"))).sessions;
  } catch {
    return undefined;
  }
}
