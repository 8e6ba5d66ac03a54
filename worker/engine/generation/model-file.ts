// What must be known about a model's files before native code opens them: that they are GGUF, and their tokenizer's marks.
import { basename } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import { specialPattern, specialSpellings } from "./special-tokens.ts";
import { partialCharacters } from "./token-bytes.ts";

/** Marks the place of a picture in a prompt. llama.cpp still understands the older mark too. */
export const MEDIA = "<__media__>";
const OLD_MEDIA = "<__image__>";

// llama.cpp ends an answer at tokens with these names, whatever the file says.
const ENDS = [
  "<|eot_id|>",
  "<|im_end|>",
  "<|end|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "<|eom_id|>",
  "<|return|>",
  "</s>",
];

export type ModelFile = {
  name: string;
  trainContextSize: number;
  specials: RegExp;
  /** The text that every prompt must begin with; empty for most models. */
  begin: string;
  /** tokens that end an answer */
  ends: ReadonlySet<number>;
  /** The bytes of the tokens that are not whole characters, by id. */
  partialCharacters: ReadonlyMap<number, number[]>;
  /** Absent where the model has no chat template of its own. */
  template: string | undefined;
};

/** Throws when the file is not a model. */
export async function readModelFile(path: string): Promise<ModelFile> {
  const { metadata, architectureMetadata } = await readGgufFileInfo(path, {
    sourceType: "filesystem",
    logWarnings: false,
  });
  const tokenizer = metadata.tokenizer?.ggml;
  const { tokens = [], token_type: types = [] } = tokenizer ?? {};
  const template = metadata.tokenizer?.chat_template;
  return {
    name: metadata.general?.name || basename(path, ".gguf"),
    trainContextSize: Number(architectureMetadata?.context_length ?? 0) || 4_096,
    specials: specialPattern([...specialSpellings({ tokens, types, template }), MEDIA, OLD_MEDIA]),
    begin: beginOf(tokenizer, tokens),
    partialCharacters: partialCharacters({ ...tokenizer, tokens }),
    template,
    ends: new Set(
      [tokenizer?.eos_token_id, tokenizer?.eot_token_id, ...ENDS.map((end) => tokens.indexOf(end))]
        .filter((token) => token !== undefined && token !== -1)
        .map(Number),
    ),
  };
}

type Tokenizer = { model?: string; add_bos_token?: boolean; bos_token_id?: number } | undefined;

function beginOf(tokenizer: Tokenizer, tokens: readonly string[]): string {
  const { model, add_bos_token: adds = model === "llama", bos_token_id: bos } = tokenizer ?? {};
  return adds && bos !== undefined ? (tokens[bos] ?? "") : "";
}

/** Throws when the file is not a projector. */
export async function checkProjector(path: string): Promise<void> {
  const { metadata } = await readGgufFileInfo(path, { sourceType: "filesystem", logWarnings: false });
  const { architecture } = metadata.general ?? {};
  if (String(architecture) !== "clip")
    throw new Error(`The projector's file is for ${architecture}, not a projector.`);
}
