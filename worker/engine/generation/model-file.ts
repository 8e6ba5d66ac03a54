// What must be known about a model's files before native code opens them: that they are GGUF, and their tokenizer's marks.
import { basename } from "node:path";
import { GgufFileType, readGgufFileInfo } from "node-llama-cpp";
import type { BackendInfo } from "./backend.ts";
import { type ChatTemplate, chooseTemplate, type NamedTemplate } from "./chat-template.ts";
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
  identity: Identity;
  trainContextSize: number;
  specials: RegExp;
  /** The text that every prompt must begin with; empty for most models. */
  begin: string;
  /** The text of the token that ends a text; empty where there is none. */
  end: string;
  /** tokens that end an answer */
  ends: ReadonlySet<number>;
  /** The bytes of the tokens that are not whole characters, by id. */
  partialCharacters: ReadonlyMap<number, number[]>;
  template: ChatTemplate;
};

/** What an engine says of the model that it runs. */
export type Identity = Required<Pick<BackendInfo, "model" | "file" | "template">>;

/** The part of a model that a name of several files ends with. */
const PART = /-\d{5}-of-\d{5}$/;

type Metadata = { general?: { name?: unknown; file_type?: unknown } };

/** The file's name and not the one in it: that is the same for all quantizations of a model, and often for its relatives too. */
export function identityOf(
  path: string,
  { general }: Metadata,
  { from, endMarks }: Pick<ChatTemplate, "from" | "endMarks">,
): Identity {
  const type: string | undefined = GgufFileType[Number(general?.file_type)];
  return {
    model: basename(path)
      .replace(/\.gguf$/i, "")
      .replace(PART, ""),
    file: {
      name: basename(path),
      title: typeof general?.name === "string" && general.name !== "" ? general.name : null,
      quantization: type?.replace(/^(MOSTLY|ALL)_/, "") ?? null,
    },
    template: { from, endMarks },
  };
}

/** Throws when the file is not a model. */
export async function readModelFile(path: string, wanted?: NamedTemplate): Promise<ModelFile> {
  const { metadata, architectureMetadata } = await readGgufFileInfo(path, {
    sourceType: "filesystem",
    logWarnings: false,
  });
  const tokenizer = metadata.tokenizer?.ggml;
  const { tokens = [], token_type: types = [] } = tokenizer ?? {};
  const template = chooseTemplate(metadata.tokenizer?.chat_template, tokens, wanted);
  return {
    identity: identityOf(path, metadata, template),
    trainContextSize: Number(architectureMetadata?.context_length ?? 0) || 4_096,
    specials: specialPattern([
      ...specialSpellings({ tokens, types, template: template.source }),
      MEDIA,
      OLD_MEDIA,
    ]),
    begin: beginOf(tokenizer, tokens),
    end: tokens[Number(tokenizer?.eos_token_id)] ?? "",
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
