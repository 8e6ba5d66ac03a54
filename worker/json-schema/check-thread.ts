// The thread in which checker.ts has the JSON schemas of senders compiled, and answers checked against them. A `pattern` or nested
// alternatives can take for ever on some values, so this must be where it can be ended.
import { parentPort } from "node:worker_threads";
import { Ajv, type Options, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { printable } from "../printable.ts";
import { FORMATS } from "./formats.ts";

/** `schema` and `value` are JSON, the schema one of 2020-12 (modern.ts). Without a value the schema is only compiled. */
export type Question = { schema: string; value?: string };
export type Reply =
  | { is: "fits" }
  | { is: "misfit"; reason: string }
  | { is: "too deep" }
  | { is: "no schema"; why: string };

const OPTIONS: Options = { strict: false, formats: FORMATS, inlineRefs: false, logger: false };
/** A job has one schema, which is compiled before the model is asked and used again when it has answered. */
const KEPT = 32;

const compiled = new Map<string, ValidateFunction>();

function validatorOf(schema: string): ValidateFunction {
  const known = compiled.get(schema);
  if (known) return known;
  const made = new Ajv2020(OPTIONS).compile(JSON.parse(schema));
  compiled.set(schema, made);
  const [oldest] = compiled.keys();
  if (compiled.size > KEPT) compiled.delete(oldest!);
  return made;
}

function answer({ schema, value }: Question): Reply {
  let validate: ValidateFunction;
  try {
    validate = validatorOf(schema);
  } catch (thrown) {
    return { is: "no schema", why: thrown instanceof Error ? thrown.message : String(thrown) };
  }
  if (value === undefined) return { is: "fits" };
  try {
    if (validate(JSON.parse(value))) return { is: "fits" };
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    return { is: "too deep" };
  }
  const errors = validate.errors?.slice(0, 5) ?? [];
  return { is: "misfit", reason: printable(new Ajv().errorsText(errors, { dataVar: "the value" })) };
}

// Compiles the schema of schemas first, so that this does not count as the first sender's time.
new Ajv2020(OPTIONS).validateSchema({});
parentPort!.on("message", (question: Question) => parentPort!.postMessage(answer(question)));
parentPort!.postMessage("ready");
