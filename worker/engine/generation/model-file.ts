// What must be known about a model's files before native code opens them: that they are GGUF, and their tokenizer's marks.
import { basename } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import { looksSpecial, specialPattern } from "./special-tokens.ts";

const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
/** Where a picture goes in a prompt; the second is what the library once used and still understands. */
export const MEDIA = "<__media__>";
const OLD_MEDIA = "<__image__>";

// llama.cpp takes tokens of these names for an answer's end, whatever the file says.
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
  specials: RegExp | undefined;
  /** What must stand at a prompt's very beginning, if anything. */
  begin: string;
  /** tokens that end an answer */
  ends: ReadonlySet<number>;
  /** how many tokens there are */
  vocabulary: number;
  /** Absent where the model has no chat template of its own. */
  template: string | undefined;
};

/** Throws for what is no model. */
export async function readModelFile(path: string): Promise<ModelFile> {
  const { metadata, architectureMetadata } = await readGgufFileInfo(path, {
    sourceType: "filesystem",
    logWarnings: false,
  });
  const tokenizer = metadata.tokenizer?.ggml;
  const { tokens = [], token_type: types = [] } = tokenizer ?? {};
  const special = tokens.filter((token, index) => {
    const type = Number(types[index]);
    return type === CONTROL || type === UNKNOWN || (type === USER_DEFINED && looksSpecial(token));
  });
  return {
    name: metadata.general?.name || basename(path, ".gguf"),
    trainContextSize: Number(architectureMetadata?.context_length ?? 0) || 4_096,
    specials: specialPattern([...special, MEDIA, OLD_MEDIA]),
    begin: beginOf(tokenizer, tokens),
    vocabulary: tokens.length,
    template: metadata.tokenizer?.chat_template,
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

/** Throws for what is no projector. */
export async function checkProjector(path: string): Promise<void> {
  const { metadata } = await readGgufFileInfo(path, { sourceType: "filesystem", logWarnings: false });
  const { architecture } = metadata.general ?? {};
  if (String(architecture) !== "clip")
    throw new Error(`The projector's file is for ${architecture}, not a projector.`);
}
