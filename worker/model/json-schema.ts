// Checks values against a JSON schema from a sender. How long that takes is the sender's choice: whoever calls this sets a limit
// (schema-fit.ts), here or in the thread (schema-thread.ts).
import { createRequire } from "node:module";
import type { Options } from "ajv";
import { printable } from "../printable.ts";

export type JsonSchema = Record<string, unknown>;
export type Fit = { fits: true; value: unknown } | { fits: false; reason: string };

const AJV: Options = {
  strict: false,
  validateFormats: false,
  inlineRefs: false,
  logger: false,
};

// Loaded with the first JSON schema from a sender: most workers never see one.
const require = createRequire(import.meta.url);

/** An ajv that has compiled its own schema, which takes long and is nobody's fault. */
export function ajvFor(draft: string) {
  const ajv = /draft-0[467]/.test(draft)
    ? new (require("ajv") as typeof import("ajv")).Ajv(AJV)
    : new (require("ajv/dist/2020.js") as typeof import("ajv/dist/2020.js")).Ajv2020(AJV);
  ajv.validateSchema({});
  return ajv;
}

/** Throws what ajv throws when it is not a JSON schema. */
export function validatorOf(schema: JsonSchema, ajv: ReturnType<typeof ajvFor>): (value: unknown) => Fit {
  const validate = ajv.compile(schema);
  return (value) => {
    if (validate(value)) return { fits: true, value };
    const errors = validate.errors?.slice(0, 5) ?? [];
    return { fits: false, reason: printable(ajv.errorsText(errors, { dataVar: "the value" })) };
  };
}
