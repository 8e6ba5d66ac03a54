// How many tokens a text has, before an engine has counted them: for budgets, and for what fits a model's context. Pure.

/** What a token is at least in most texts: three bytes of a word in Latin script, or one character of Japanese. */
const BYTES_PER_TOKEN = 3;

export const tokensIn = (text: string): number => Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
