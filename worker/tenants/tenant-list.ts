// What may be shown of tenants: whose jobs wait and run in this worker now, what each has used since midnight, and what each may use. Pure.
import type { Today } from "./daily-usage.ts";
import { type DayLimits, limitsFor, type Tenant, type Used } from "./day-budgets.ts";

type Present = { tenant: Tenant; waiting: number; running: number };
export type TenantRow = Omit<Present, "tenant"> & { name: Tenant; today: Used; limits?: DayLimits };

/** Those that have jobs here first, then those that have used most. */
export function tenantsOf(present: readonly Present[], today: Today | undefined): TenantRow[] {
  const used = Map.groupBy(today?.rows ?? [], ({ tenant }) => tenant);
  const names = new Set([...present.map(({ tenant }) => tenant), ...used.keys()]);
  const rows = [...names].map((name): TenantRow => {
    const { waiting, running } = present.find(({ tenant }) => tenant === name) ?? { waiting: 0, running: 0 };
    const limits = today && ownLimits(name, today);
    return { name, waiting, running, today: sum(used.get(name) ?? []), ...(limits && { limits }) };
  });
  return rows.toSorted((a, b) => busy(b) - busy(a) || b.today.seconds - a.today.seconds);
}

const busy = ({ waiting, running }: TenantRow) => waiting + running;

/** Of the tenant whatever the kind. */
function ownLimits(tenant: Tenant, { budgets: { tenants } }: Today): DayLimits | undefined {
  const [own] = limitsFor({ tenant, kind: "" }, { tenants }).filter(({ use }) => use.kind === undefined);
  if (!own) return undefined;
  const { jobs, tokens, seconds } = own.limits;
  return { jobs, tokens, seconds };
}

const sum = (rows: readonly Used[]): Used => ({
  jobs: total(rows.map(({ jobs }) => jobs)),
  tokens: total(rows.map(({ tokens }) => tokens)),
  seconds: total(rows.map(({ seconds }) => seconds)),
});

const total = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
