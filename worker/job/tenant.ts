// Owns what names a tenant: whoever shares a worker with others, so that none of them may take it for himself. What follows from the name
// is left to consumer/ (whose message starts next) and tenants/ (what a tenant may use in a day). Pure.
import { z } from "zod";

/** What SQS takes as a MessageGroupId, and letters of any script. It stands in logs and on pages. */
const NAME = /^[\p{L}\p{M}\p{N}!-~]{1,128}$/u;

export const isTenantName = (value: unknown): value is string =>
  typeof value === "string" && NAME.test(value);

export const TenantName = z
  .string()
  .regex(NAME, "expected 1 to 128 letters, digits or signs, without spaces");

/**
 * Whose job it is; null when nobody is named. What the job itself says goes before what its message says: the body stays as its sender wrote
 * it, but whoever forwards, splits or redrives a message may drop its group or use it for something else.
 */
export const tenantOf = (
  { tenant }: { tenant?: string | undefined },
  message: { tenant?: string | undefined },
): string | null => tenant ?? message.tenant ?? null;
