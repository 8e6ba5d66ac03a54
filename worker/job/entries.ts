// The entries of a list that somebody else wrote. Owns that an entry that cannot be used costs that entry and not the list, and how the
// output says so. What an entry must be is left to the handler. Pure.
import { z } from "zod";
import { refuse } from "./handler.ts";

/** For a handler's output. */
export const LeftOut = z
  .strictObject({ count: z.int(), reasons: z.array(z.string()) })
  .optional()
  .describe("How many entries of the list could not be used, and why: at most five reasons.");

const MAX_REASONS = 5;

type Usable<T> = { entries: T[]; left: { leftOut?: z.output<typeof LeftOut> } };

/**
 * What can be used, and `left` for the output. Refuses a list of which nothing can be used: it is not what its sender meant, and an
 * empty list may mean something else.
 */
export function usableEntries<S extends z.ZodType>(
  field: string,
  schema: S,
  list: readonly unknown[],
): Usable<z.output<S>> {
  const entries: z.output<S>[] = [];
  const reasons: string[] = [];
  for (const [index, one] of list.entries()) {
    const parsed = schema.safeParse(one);
    if (parsed.success) entries.push(parsed.data);
    else reasons.push(reasonOf(index, parsed.error));
  }
  const shown = reasons.slice(0, MAX_REASONS);
  if (entries.length === 0 && reasons.length > 0)
    refuse("invalid_input", `${field}: none of its entries can be used: ${shown.join("; ")}.`);
  return { entries, left: reasons.length > 0 ? { leftOut: { count: reasons.length, reasons: shown } } : {} };
}

function reasonOf(index: number, { issues }: z.ZodError): string {
  const [{ path, message } = { path: [], message: "" }] = issues;
  return `${[index, ...path].join(".")}: ${message}`;
}
