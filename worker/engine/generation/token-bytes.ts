// The bytes of tokens that are not whole characters. A library returns such a token as U+FFFD, because half a character is no
// text; only the vocabulary in the model's file says which bytes it stands for. Pure.
import { isUtf8 } from "node:buffer";

type Vocabulary = { model?: string; tokens?: readonly string[] };
type BytesOf = (token: string) => number[] | undefined;

/** By token id. Tokens whose bytes are text are left out: their text says it all. */
export function partialCharacters({ model, tokens = [] }: Vocabulary): ReadonlyMap<number, number[]> {
  const bytesOf = model === "gpt2" ? byteLevelToken : byteToken;
  const partial = new Map<number, number[]>();
  for (const [id, token] of tokens.entries()) {
    const bytes = bytesOf(token);
    if (bytes && !isUtf8(Buffer.from(bytes))) partial.set(id, bytes);
  }
  return partial;
}

/** SentencePiece spells one byte as `<0xE7>`; all its other tokens are text. */
const byteToken: BytesOf = (token) => {
  const hex = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return hex === undefined ? undefined : [Number.parseInt(hex, 16)];
};

/** GPT-2's vocabulary spells each byte as one printable character. */
const byteLevelToken: BytesOf = (token) => {
  // ASCII is spelled as itself, and a token of it is text.
  if (/^[!-~]*$/.test(token)) return undefined;
  const bytes = Array.from(token, (character) => BYTE_OF.get(character));
  return bytes.every((byte) => byte !== undefined) ? bytes : undefined;
};

/** The byte that each letter of such a spelling stands for. */
export const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const isPrintable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let others = 256;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [
      String.fromCodePoint(isPrintable(byte) ? byte : others++),
      byte,
    ]),
  );
})();
