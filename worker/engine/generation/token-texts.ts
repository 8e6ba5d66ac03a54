// What each token of a vocabulary writes, by its first character: read from the model's file, because a library returns half a
// character as U+FFFD. Pure.
import { BYTE_OF } from "./token-bytes.ts";

export type TokenizerFacts = {
  model?: string;
  tokens?: readonly string[];
  token_type?: readonly unknown[];
};

const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;

/** Undefined for a kind of vocabulary whose spelling is not known here. */
export function tokenTextsOf(
  { model, tokens, token_type: types = [] }: TokenizerFacts,
  ends: readonly number[],
): TokenTexts | undefined {
  if (tokens === undefined || (model !== "gpt2" && model !== "llama")) return undefined;
  return new TokenTexts(tokens, types.map(Number), model === "gpt2", ends);
}

/** The tokens that begin with the same characters, `length` of them. */
export class Beginning {
  readonly length: number;
  readonly tokens: number[] = [];
  /** Those that have no further whole character. Filled with `children`. */
  readonly whole: number[] = [];
  children: Map<number, Beginning> | undefined;

  constructor(length = 0) {
    this.length = length;
  }
}

export class TokenTexts {
  /** The tokens that begin with a part of a character. */
  readonly parts: number[] = [];
  /** The tokens that end an answer. */
  readonly ends: readonly number[];
  readonly #tokens: readonly string[];
  readonly #types: readonly number[];
  readonly #isByteLevel: boolean;
  /** The tokens that begin with a whole character. */
  readonly root = new Beginning();
  readonly #decoded = new Map<number, number[]>();

  constructor(
    tokens: readonly string[],
    types: readonly number[],
    isByteLevel: boolean,
    ends: readonly number[],
  ) {
    this.#tokens = tokens;
    this.#types = types;
    this.#isByteLevel = isByteLevel;
    this.ends = ends;
    const notText = new Set(ends);
    for (const id of tokens.keys()) if (!notText.has(id)) this.#place(id);
  }

  /** What `beginning` goes on with, sorted out when it is first needed: most beginnings never are. */
  children(beginning: Beginning): ReadonlyMap<number, Beginning> {
    if (beginning.children === undefined) this.#sortOut(beginning);
    return beginning.children!;
  }

  /** The whole characters of a token. */
  points(id: number): readonly number[] {
    const points = this.#decoded.get(id) ?? this.decoded(this.bytes(id)).points;
    this.#decoded.set(id, points);
    return points;
  }

  /** Whether its last character is not whole. */
  isCut(id: number): boolean {
    return this.decoded(this.bytes(id)).rest.length > 0;
  }

  bytes(id: number): Iterable<number> {
    const [token, type] = [this.#tokens[id] ?? "", this.#types[id]];
    if (type === UNUSED) return [];
    if (type === CONTROL || type === USER_DEFINED || type === UNKNOWN) return Buffer.from(token);
    if (this.#isByteLevel) return byteLevel(token);
    if (type === BYTE) return [Number.parseInt(token.slice(3, 5), 16)];
    return Buffer.from(token.replaceAll("\u2581", " "));
  }

  /** Bytes as whole characters, and the bytes of one that has only begun. */
  decoded(bytes: Iterable<number>): { points: number[]; rest: number[] } {
    const points: number[] = [];
    let rest: number[] = [];
    for (const byte of bytes) {
      rest.push(byte);
      if (rest.length < lengthOf(rest[0]!)) continue;
      points.push(Buffer.from(rest).toString().codePointAt(0)!);
      rest = [];
    }
    return { points, rest };
  }

  #place(id: number): void {
    const first = this.#firstPoint(id);
    if (first === undefined) return;
    if (first === "part") this.parts.push(id);
    else childOf(this.root, first).tokens.push(id);
  }

  #sortOut(beginning: Beginning): void {
    beginning.children = new Map();
    for (const id of beginning.tokens) {
      const point = this.decoded(this.bytes(id)).points[beginning.length];
      if (point === undefined) beginning.whole.push(id);
      else childOf(beginning, point).tokens.push(id);
    }
  }

  #firstPoint(id: number): number | "part" | undefined {
    const token = this.#tokens[id]!;
    // Most tokens begin with a letter or a space, and there are too many to decode each of them.
    const code = token.charCodeAt(0);
    const isPlain = code < 0x80 && code !== 0x3c && this.#types[id] !== UNUSED;
    if (isPlain) return code;
    const bytes = [...this.bytes(id)];
    const begin = bytes.slice(0, lengthOf(bytes[0] ?? 0));
    const [point] = this.decoded(begin).points;
    return point ?? (bytes.length === 0 ? undefined : "part");
  }
}

function childOf(beginning: Beginning, point: number): Beginning {
  beginning.children ??= new Map();
  const child = beginning.children.get(point) ?? new Beginning(beginning.length + 1);
  beginning.children.set(point, child);
  return child;
}

/** How many bytes a character has that begins with this one. A byte that cannot begin one is counted by itself. */
function lengthOf(first: number): number {
  if (first < 0xc0) return 1;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** GPT-2's vocabulary spells each byte as one printable character. */
function byteLevel(token: string): number[] {
  return Array.from(token, (character) => BYTE_OF.get(character) ?? 0xff);
}
