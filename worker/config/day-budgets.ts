// What may stand in KAMADO_BUDGETS. What it means is in tenants/day-budgets.ts.
import { z } from "zod";

const COUNT = "must be a whole number from 0 on";
const dayCount = z.number({ error: COUNT }).int({ error: COUNT }).min(0, { error: COUNT }).optional();
const dayLimits = z.strictObject({ jobs: dayCount, tokens: dayCount, seconds: dayCount });
const perName = <T extends z.ZodType>(limits: T) => z.record(z.string().min(1).max(128), limits);

const DayBudgets = z.strictObject({
  all: dayLimits.optional(),
  tenants: perName(dayLimits.extend({ kinds: perName(dayLimits).optional() })).optional(),
  kinds: perName(dayLimits).optional(),
});

/** What may be used in a day, as JSON. In kamado.toml it is a table. */
export const dayBudgets = z.string().transform((text, context): z.output<typeof DayBudgets> => {
  const refuse = (message: string) => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refuse(`must be JSON, like {"tenants": {"acme": {"jobs": 100}}}`);
  }
  const { success, data, error } = DayBudgets.safeParse(json);
  if (success) return data;
  const [{ path, message } = { path: [], message: "" }] = error.issues;
  return refuse(`${path.join(".") || "it"}: ${message}; docs/tenants.md shows what may be in it`);
});
