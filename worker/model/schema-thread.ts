// The thread in which schema-fit.ts compiles a schema, or checks one value, that takes longer than the event loop can wait.
import { parentPort, workerData } from "node:worker_threads";
import { ajvFor, type Fit, type JsonSchema, validatorOf } from "./json-schema.ts";

/** `json`: the value to check, as text, because a value may be nested too deeply to be copied. */
export type Work = { schema: JsonSchema; draft: string; json?: string };
export type Done = { is: "no schema"; why: string } | { is: "schema" } | { is: "checked"; fit: Fit };

function done({ schema, draft, json }: Work): Done {
  let check: ReturnType<typeof validatorOf>;
  try {
    check = validatorOf(schema, ajvFor(draft));
  } catch (thrown) {
    return { is: "no schema", why: thrown instanceof Error ? thrown.message : String(thrown) };
  }
  return json === undefined ? { is: "schema" } : { is: "checked", fit: fitOf(check, JSON.parse(json)) };
}

function fitOf(check: ReturnType<typeof validatorOf>, value: unknown): Fit {
  try {
    return check(value);
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    return { fits: false, reason: "the value is nested too deeply to be checked" };
  }
}

parentPort!.postMessage(done(workerData as Work));
