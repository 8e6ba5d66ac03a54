// Addresses that clients of Ollama, Anthropic and llama.cpp ask, and slips of OpenAI's clients. Owns what each is told: which address of
// this engine does the same. Only the address is left to the client, because the fields have other names there.

/** What this engine answers, by method. */
const KNOWN: readonly [method: string, path: RegExp][] = [
  ["POST", /^\/v1\/(chat\/completions|completions|responses)$/],
  ["GET", /^\/(v1\/models|health|metrics|slots)$/],
];

const CHAT = "POST /v1/chat/completions with OpenAI's fields";
const TEXT_ONLY = "This engine runs a model that writes text; it has nothing of that kind";

const INSTEAD: readonly [path: RegExp, sentence: string][] = [
  [/^\/v1\/v1\//, "The base URL of the client ends in /v1 already; leave one out"],
  [/^\/api\/chat$/, `This is Ollama's own address; use ${CHAT}, which Ollama knows too`],
  [/^\/api\/generate$/, `This is Ollama's own address; use POST /v1/completions, or ${CHAT}`],
  [/^\/api\/(tags|ps|show|version)$/, "This is Ollama's own address; GET /v1/models says what runs here"],
  [/^\/api\/(pull|push|create|copy|delete)$/, "The engine's owner chooses its model; no request changes it"],
  [/^(\/anthropic)?\/v1\/(messages|complete)\b/, `This is Anthropic's address; use ${CHAT}`],
  [/^\/(completion|infill)$/, `This is llama.cpp's own address; use POST /v1/completions, or ${CHAT}`],
  [
    /^\/(api\/)?(chat\/completions|completions|responses|models)$/,
    "The base URL of the client must end in /v1",
  ],
  [/^\/(props|tokenize|detokenize|apply-template)$/, "GET /v1/models says what runs here"],
  [/^\/v1beta\//, `This is Google's address; use ${CHAT}`],
  [/\/(embed|embeddings?|rerank|reranking|audio|images|moderations)\b/, TEXT_ONLY],
];

const ALL =
  "This engine answers POST /v1/chat/completions, /v1/completions and /v1/responses, and GET /v1/models";

export function unknownAddress(method: string, path: string): string {
  if (method === "OPTIONS") return "Pages in a browser cannot use this engine; ask it from a server.";
  const right = KNOWN.find(([, known]) => known.test(path))?.[0];
  if (right !== undefined) return `There is no ${method} ${path}. Use ${right}.`;
  return `There is no ${method} ${path}. ${INSTEAD.find(([other]) => other.test(path))?.[1] ?? ALL}.`;
}
