// The file that says which uploaded object becomes which job.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { ObjectRule } from "../job/object-rules.ts";

/** Throws `config_invalid`, which names the entry and the field. */
export function loadRules(path: string | undefined): ObjectRule[] {
  if (path === undefined) return [];
  try {
    return z.array(ObjectRule).parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (thrown) {
    throw new KamadoError("config_invalid", `KAMADO_RULES_FILE: ${(thrown as Error).message}`, {
      cause: thrown,
    });
  }
}
