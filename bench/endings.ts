// Keeps the answers of any model as long as was asked for, on every server alike: ignore_eos is not known to all, a bias is.
import { readGgufFileInfo } from "node-llama-cpp";

const NEVER = -100;
/** The vocabularies' word for what nobody writes. */
const CONTROL = 3;
const SPELLING = /end|eot|eos|eom|<\/s>/i;

/** Biases for `logit_bias` that make the marks which end an answer unsayable. */
export async function neverEnding(model: string): Promise<Record<string, number>> {
  const { metadata } = await readGgufFileInfo(model, { sourceType: "filesystem", logWarnings: false });
  return biasesAgainst(metadata.tokenizer.ggml);
}

type Vocabulary = {
  tokens: readonly string[];
  token_type?: readonly number[] | undefined;
  eos_token_id?: number | undefined;
};

/** Pure. */
export function biasesAgainst({
  tokens,
  token_type: types,
  eos_token_id: end,
}: Vocabulary): Record<string, number> {
  const ids = tokens.flatMap((token, id) =>
    id === end || (types?.[id] === CONTROL && SPELLING.test(token)) ? [id] : [],
  );
  return Object.fromEntries(ids.map((id) => [String(id), NEVER]));
}
