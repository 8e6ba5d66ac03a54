// A model for tests whose tokens are characters, with `</think>` as one token where asked for.
import type { LlamaModel, Token } from "node-llama-cpp";

export const CLOSE = 1 as Token;

export function modelOf(template: string, closeIsToken = false): LlamaModel {
  const tokenize = (text: string, special?: boolean) => {
    if (special && closeIsToken && text === "</think>") return [CLOSE];
    return Array.from(text, (char) => char.codePointAt(0)! as Token);
  };
  return {
    fileInfo: { metadata: { tokenizer: { chat_template: template } } },
    tokens: { bos: null, bosString: null, eosString: null, shouldPrependBosToken: false },
    iterateAllTokens: () => [][Symbol.iterator](),
    tokenize,
    detokenize: (tokens: number[]) => tokens.map((token) => String.fromCodePoint(token)).join(""),
    isEogToken: () => false,
  } as unknown as LlamaModel;
}
