// The tokens of an answer as the text they stand for. Some servers write a token as it stands in the vocabulary, without its bytes, and
// list the alternatives in no order, so that the one they name is not the one that was chosen (mlx-lm). The answer's text tells. Pure.
import { z } from "zod";

const TokenLogprob = z.object({
  token: z.string(),
  logprob: z.number().nullish(),
  /** The token's own bytes: some tokens are half a character. */
  bytes: z.array(z.number()).nullish(),
});
export type TokenLogprob = z.output<typeof TokenLogprob>;
export const ReadToken = TokenLogprob.extend({ top_logprobs: z.array(TokenLogprob).nullish() });
/** One position of the answer: the token that was chosen and the likeliest candidates. */
export type ReadToken = z.output<typeof ReadToken>;

/** `text`: the whole answer. */
export function tokensOf(listed: readonly ReadToken[], text: string): ReadToken[] {
  const tokens = withBytes(listed);
  return spelled(tokens, text) ?? tokens;
}

/** With the bytes that a vocabulary writes in signs of its own. Tokens that come with their bytes stay as they are. */
function withBytes(tokens: readonly ReadToken[]): ReadToken[] {
  const all = tokens.flatMap((token) => [token, ...(token.top_logprobs ?? [])]);
  const decode = all.some(({ bytes }) => bytes) ? undefined : decoderFor(all.map(({ token }) => token));
  if (!decode) return [...tokens];
  const decoded = <T extends TokenLogprob>(one: T): T => ({ ...one, bytes: decode(one.token) });
  return tokens.map((one) => ({ ...decoded(one), top_logprobs: one.top_logprobs?.map(decoded) }));
}

/** A letter in the place of a space or a line end gives the vocabulary away; as letters both are rare. */
const BYTE_LEVEL = /[ĠĊ]/;
const PIECES = /▁|^<0x[0-9A-F]{2}>$/;

function decoderFor(tokens: readonly string[]): ((token: string) => number[]) | undefined {
  if (tokens.some((token) => BYTE_LEVEL.test(token))) return fromByteLevel;
  return tokens.some((token) => PIECES.test(token)) ? fromPiece : undefined;
}

/** GPT-2's alphabet: a sign for each byte. The bytes that have none of their own follow from U+0100 on. */
const OWN_SIGN = /[!-~¡-¬®-ÿ]/;
const BYTES = Array.from({ length: 256 }, (_, byte) => byte);
const shifted = BYTES.filter((byte) => !OWN_SIGN.test(String.fromCharCode(byte)));
const SIGNS = new Map<string, number>([
  ...BYTES.map((byte) => [String.fromCharCode(byte), byte] as const),
  ...shifted.map((byte, at) => [String.fromCharCode(256 + at), byte] as const),
]);

/** Special tokens are plain text; they come out as they are. */
const fromByteLevel = (token: string): number[] =>
  [...token].flatMap((sign) => SIGNS.get(sign) ?? [...Buffer.from(sign)]);

function fromPiece(token: string): number[] {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return byte === undefined ? [...Buffer.from(token.replaceAll("▁", " "))] : [Number.parseInt(byte, 16)];
}

/** The same positions, with the token at each that spells the text. Undefined when the named ones do, or none do. */
function spelled(tokens: readonly ReadToken[], text: string): ReadToken[] | undefined {
  const target = Buffer.from(text.trimStart()).toString("latin1");
  let at = 0;
  let isOther = false;
  const path: ReadToken[] = [];
  for (const token of tokens) {
    const fits = (one: TokenLogprob) => {
      const bytes = at === 0 ? bytesOf(one).trimStart() : bytesOf(one);
      return (bytes !== "" || at === 0) && target.startsWith(bytes, at);
    };
    const others = (token.top_logprobs ?? []).toSorted(
      (one, other) => (other.logprob ?? 0) - (one.logprob ?? 0),
    );
    const isOver = at >= target.length;
    const chosen = isOver ? others[0] : [token, ...others].find(fits);
    if (!chosen && !isOver) return undefined;
    isOther ||= !isOver && chosen !== token;
    path.push({ ...(chosen ?? token), top_logprobs: token.top_logprobs });
    if (!isOver && chosen) at += (at === 0 ? bytesOf(chosen).trimStart() : bytesOf(chosen)).length;
  }
  return isOther ? path : undefined;
}

const bytesOf = ({ token, bytes }: TokenLogprob) =>
  (bytes ? Buffer.from(bytes) : Buffer.from(token)).toString("latin1");
