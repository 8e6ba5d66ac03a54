// The thread in which schema-fit.ts compiles a schema, or checks one value, that takes longer than the event loop can wait.
import { parentPort, workerData } from "node:worker_threads";
import { ajvFor, type Fit, type JsonSchema, validatorOf } from "./json-schema.ts";

/** `json`: the value to check, as text, because a value may be nested too deeply to be copied. */
export type Work = { schema: JsonSchema; draft: string; json?: string };
export type Done = { is: "no schema"; why: string } | { is: "schema" } | { is: "checked"; fit: Fit };

function done({ schema, draft, json }: Work): Done {
  try {
    const check = validatorOf(schema, ajvFor(draft));
    return json === undefined ? { is: "schema" } : { is: "checked", fit: check(JSON.parse(json)) };
  } catch (thrown) {
    return { is: "no schema", why: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

parentPort!.postMessage(done(workerData as Work));
