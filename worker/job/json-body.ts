// The JSON of a request to the worker's address, read as tolerantly as that of a message, and bounded as it is. How many bytes a body may
// have is left to whoever receives it. Pure.
import { KamadoError } from "../errors.ts";
import { jsonText, parseJson } from "./json.ts";
import { excessOf } from "./structure.ts";

/** Throws `malformed_json`, or `invalid_input` for too much structure. */
export function jsonOfBody(bytes: Uint8Array): unknown {
  const text = textOf(bytes);
  const excess = excessOf(text);
  if (excess !== null) throw new KamadoError("invalid_input", `The body ${excess}.`);
  try {
    return parseJson(text);
  } catch (cause) {
    const why = (cause as Error).message.slice(0, 200);
    throw new KamadoError("malformed_json", `The body is not JSON: ${why}.`, { cause });
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return jsonText(bytes);
  } catch (cause) {
    throw new KamadoError("malformed_json", "The body is no text in UTF-8.", { cause });
  }
}
