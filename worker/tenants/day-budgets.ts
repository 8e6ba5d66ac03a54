// What a tenant, a kind, or all jobs together may use of this worker in a day: jobs, tokens, seconds of running. Owns which limits count for
// a job and whether one is used up. What was used is counted in daily-usage.ts; what one message may cost is job/budgets.ts. Pure.
import { KamadoError } from "../errors.ts";

/** Null stands for all jobs that name no tenant. */
export type Tenant = string | null;
export type Owner = { tenant: Tenant; kind: string };

export type Used = { jobs: number; tokens: number; seconds: number };
export type DayLimits = { [U in keyof Used]?: number | undefined };

/** As the owner of the worker wrote them. `*` counts for each tenant, or kind, that has no entry of its own. */
export type DayBudgets = {
  all?: DayLimits | undefined;
  tenants?: Record<string, DayLimits & { kinds?: Record<string, DayLimits> | undefined }> | undefined;
  kinds?: Record<string, DayLimits> | undefined;
};

/** One limit that counts for a job, and whose use counts against it: a field that is absent means everybody's. */
export type Limit = { of: string; limits: DayLimits; use: { tenant?: Tenant; kind?: string } };

/** An object of JSON may have been given any name. */
const entry = <T>(all: Record<string, T> | undefined, name: string): T | undefined =>
  all && Object.hasOwn(all, name) ? all[name] : undefined;
const orRest = <T>(all: Record<string, T> | undefined, name: string | null): T | undefined =>
  (name === null ? undefined : entry(all, name)) ?? entry(all, "*");

/** The limits that count for a job. */
export function limitsFor({ tenant, kind }: Owner, { all, tenants, kinds }: DayBudgets): Limit[] {
  const whose = tenant === null ? "jobs without a tenant" : `tenant ${tenant}`;
  const own = orRest(tenants, tenant);
  const ownKind = orRest(own?.kinds, kind);
  const ofKind = orRest(kinds, kind);
  return [
    ...(ownKind ? [{ of: `${whose}, kind ${kind}`, limits: ownKind, use: { tenant, kind } }] : []),
    ...(own ? [{ of: whose, limits: own, use: { tenant } }] : []),
    ...(ofKind ? [{ of: `kind ${kind}`, limits: ofKind, use: { kind } }] : []),
    ...(all ? [{ of: "all jobs", limits: all, use: {} }] : []),
  ];
}

const UNITS = ["jobs", "tokens", "seconds"] as const;

/** The error of the first limit that is used up; null while none is. `counted`: the job itself is among the jobs that were used. */
export function spentBudget(
  owner: Owner,
  budgets: DayBudgets,
  usedBy: (use: Limit["use"]) => Used,
  { wall, counted }: { wall: number; counted: boolean },
): KamadoError | null {
  for (const { of, limits, use } of limitsFor(owner, budgets)) {
    const used = usedBy(use);
    for (const unit of UNITS) {
      const limit = limits[unit];
      if (limit === undefined || (unit === "jobs" && counted) || used[unit] < limit) continue;
      return spent(of, `${Math.round(used[unit])} of ${limit} ${unit}`, wall);
    }
  }
  return null;
}

function spent(of: string, used: string, wall: number): KamadoError {
  const retryAt = new Date(endOfDay(wall)).toISOString();
  return new KamadoError(
    "budget_exceeded",
    `${of}: the budget of the day is used up (${used}). The day ends at ${retryAt}, midnight where the worker is.`,
    {
      hint: "Send the job again after that, under the same id. It is among the dead letters too: `kamado dead redrive` sends it back. The owner raises the limit in KAMADO_BUDGETS.",
      detail: { retryAt },
    },
  );
}

const two = (number: number) => String(number).padStart(2, "0");

/** The date where the worker is: `2026-11-29`. */
export function dayOf(wall: number): string {
  const at = new Date(wall);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** The next midnight there; a day has 23 to 25 hours. */
export function endOfDay(wall: number): number {
  const at = new Date(wall);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() + 1).getTime();
}
