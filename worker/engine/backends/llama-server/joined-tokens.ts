// The tokens of a character that llama-server reports as one. It joins the tokens of a character and keeps the probabilities of the last
// alone, so the others are asked for again: each place with one token that a grammar forces, whose list of alternatives is the model's own.
// Which of them was chosen follows from the character's bytes. Where it does not follow, the tokens stay joined.
import { isUtf8 } from "node:buffer";
import type { Logprob, Sampling, Token } from "../../generation/backend.ts";

export type Listed = { id: number; token: string; bytes: number[]; logprob: number };
/** What one event reports: `count` tokens, of which `id` is the last. The end of an answer that was cut inside a character has no id. */
export type Piece = { token: Token; id: number | undefined; count: number };
/** The likeliest tokens after the prompt and these tokens, `most` at most, the likeliest first. */
export type AskList = (after: readonly number[], most: number) => Promise<readonly Listed[]>;
export type Drawn = { sampling: Sampling; hasGrammar: boolean; topLogprobs: number };
/** `ids`: of the answer, up to the first that is not known. `asked`: of how many of them the server holds the state. */
export type Split = { tokens: Token[]; ids: number[]; asked: number };

const SOME = 256;
const ALL = 2 ** 24;

export async function splitJoined(
  pieces: readonly Piece[],
  known: readonly number[],
  drawn: Drawn,
  askList: AskList,
): Promise<Split> {
  const split: Split = { tokens: [], ids: [...known], asked: known.length };
  let isKnown = true;
  for (const piece of pieces) {
    const parts: Parts | undefined = isKnown ? await partsOf(piece, split, drawn, askList) : undefined;
    isKnown = parts !== undefined;
    // Without an id it is the end of a cut answer, which has no text.
    split.tokens.push(...(parts?.tokens ?? (piece.id === undefined ? [] : [piece.token])));
    split.ids.push(...(parts?.ids ?? []));
  }
  return split;
}

type Parts = { tokens: Token[]; ids: number[] };

/** Undefined where they cannot be told. */
async function partsOf(
  piece: Piece,
  split: Split,
  drawn: Drawn,
  askList: AskList,
): Promise<Parts | undefined> {
  const parts: Parts = { tokens: [], ids: [] };
  const missing = piece.id === undefined ? piece.count : piece.count - 1;
  let rest = Buffer.from(piece.token.text);
  for (let left = missing; left > 0; left -= 1) {
    const after = [...split.ids, ...parts.ids];
    split.asked = after.length;
    const fits =
      piece.id === undefined ? (drawn.hasGrammar ? () => false : () => true) : beginsWith(rest, left);
    const found = await chosen((most) => askList(after, most), fits, drawn, piece.id === undefined);
    if (found === undefined) return undefined;
    parts.ids.push(found.one.id);
    parts.tokens.push(tokenOf(found.one, found.list.slice(0, drawn.topLogprobs)));
    rest = rest.subarray(found.one.bytes.length);
  }
  if (piece.id === undefined) return parts;
  parts.ids.push(piece.id);
  parts.tokens.push(missing === 0 ? piece.token : { ...piece.token, bytes: [...rest] });
  return parts;
}

/** Every token has a byte at least. */
const beginsWith = (rest: Buffer, left: number) => (one: Listed) =>
  one.bytes.length > 0 &&
  rest.length - one.bytes.length >= left &&
  rest.subarray(0, one.bytes.length).equals(Buffer.from(one.bytes));

/**
 * A greedy answer has the likeliest token that fits: a grammar knows nothing but characters, so it allows every token that spells them.
 * Of others it is only sure if no second one fits.
 */
async function chosen(
  list: (most: number) => Promise<readonly Listed[]>,
  fits: (one: Listed) => boolean,
  { sampling }: Drawn,
  isCut: boolean,
) {
  const { temperature, repetitionPenalty, frequencyPenalty, presencePenalty, logitBias } = sampling;
  const isPenalized = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0;
  const isGreedy = temperature === 0 && !isPenalized;
  if (isCut && !isGreedy) return undefined;
  for (const most of isGreedy && logitBias.size === 0 ? [SOME, ALL] : [ALL]) {
    const listed = await list(most);
    const fitting = listed.filter(fits);
    const weight = ({ id, logprob }: Listed) => logprob + (logitBias.get(id) ?? 0);
    const [one, ...others] = fitting.toSorted((a, b) => weight(b) - weight(a));
    if (one !== undefined) return isGreedy || others.length === 0 ? { one, list: listed } : undefined;
  }
  return undefined;
}

function tokenOf({ bytes, logprob }: Listed, top: readonly Listed[]): Token {
  return { text: "", bytes, logprob, top: top.map(logprobOf) };
}

/** As the API shows it. */
export function logprobOf({
  token,
  bytes,
  logprob,
}: Omit<Listed, "id" | "bytes"> & { bytes?: number[] }): Logprob {
  if (bytes === undefined) return { text: token, logprob };
  const text = Buffer.from(bytes).toString("utf8");
  return { text, ...(!isUtf8(Buffer.from(bytes)) && { bytes }), logprob };
}
