// The name that was most likely meant where one is mistyped: a field, a kind, a variable.
import { closest, distance } from "fastest-levenshtein";
import type { z } from "zod";

/** A third of a name may be mistyped. */
const MISTYPED = 1 / 3;
/** No name of ours is as long; to compare what a stranger sent costs time. */
const LONGEST = 60;

/** Undefined where no name is near. `of`: the length that counts, where a part of the name is always the same. */
export function nearest(asked: string, names: readonly string[], of = asked.length): string | undefined {
  if (names.length === 0 || asked.length > LONGEST) return undefined;
  const best = closest(asked, names);
  const far = distance(asked, best);
  return far <= Math.max(2, of * MISTYPED) && far < of ? best : undefined;
}

/** For `safeParse`: what is wrong with a field that a schema does not have is said with the nearest one, else with all. */
export const sayNearestField: z.core.$ZodErrorMap = (issue) => {
  if (issue.code !== "unrecognized_keys") return undefined;
  const names = Object.keys((issue.inst as Partial<z.ZodObject> | undefined)?.shape ?? {});
  const [key = ""] = issue.keys;
  const near = nearest(key, names);
  const shown = issue.keys.slice(0, 3).map((name) => JSON.stringify(name.slice(0, LONGEST)));
  const what = `Unrecognized key${issue.keys.length > 1 ? "s" : ""}: ${shown.join(", ")}`;
  return `${what}; ${near === undefined ? `the fields are ${names.join(", ")}` : `did you mean ${near}?`}`;
};
