// The service behind destinations in the API and on the pages: what each got, whether its circuit is open or it is turned off, and
// sending to it again. When a delivery is tried again by itself is left to the outbox.
import type { Clock } from "../async/clock.ts";
import type { Circuits, OpenCircuit } from "../deliver/circuit.ts";
import type { History } from "../history/history.ts";
import type { DisabledDestinations } from "../outbox/disabled-destinations.ts";
import type { DeadLetterActions } from "./dead-letters.ts";
import { fresh } from "./jobs.ts";
import type { DestinationRow, DestinationsService } from "./services.ts";

export type DestinationsOptions = {
  history: Pick<History, "destinations">;
  disabled: Pick<DisabledDestinations, "all" | "turnOn">;
  circuits: Pick<Circuits, "open" | "close">;
  deadLetters: Pick<DeadLetterActions, "redriveTo">;
  clock: Clock;
};

export function createDestinationsService(options: DestinationsOptions): DestinationsService {
  const { history, circuits, deadLetters, clock } = options;
  const readDisabled = () => options.disabled.all();
  let disabled = fresh(readDisabled, clock);
  return {
    async list() {
      const [known, off] = await Promise.all([history.destinations(), disabled()]);
      const rows = new Map<string, DestinationRow>(known.map((one) => [one.key, { ...ON, ...one }]));
      const open = circuits.open();
      for (const { key, to } of open)
        if (key !== null && !rows.has(key)) rows.set(key, { ...ON, ...NOTHING_SENT, key, to });
      for (const row of rows.values()) {
        const circuit = open.find((one) => isAbout(one, row));
        if (circuit) Object.assign(row, pausedBy(circuit));
      }
      for (const { key, to, at: since, reason } of off)
        rows.set(key, { ...NOTHING_SENT, key, to, ...rows.get(key), state: "off", reason, since });
      return [...rows.values()];
    },
    async resend(key) {
      await options.disabled.turnOn(key);
      disabled = fresh(readDisabled, clock);
      circuits.close(key);
      return deadLetters.redriveTo(key);
    },
  };
}

const ON = { state: "on", reason: null, since: null } as const;
const NOTHING_SENT = { delivered: 0, failed: 0, lastAt: null };

/** The circuit of an origin is about every destination there. */
const isAbout = ({ key, to }: OpenCircuit, row: DestinationRow): boolean =>
  key === null ? isBelow(row.to.slice(row.to.indexOf(":") + 1), to) : key === row.key;

const isBelow = (address: string, origin: string) => address === origin || address.startsWith(`${origin}/`);

const pausedBy = ({ failures, leftMs, key }: OpenCircuit) => ({
  state: "paused" as const,
  reason: `${key === null ? "It could not be reached" : "It failed"} ${failures} times in a row; ${
    leftMs > 0 ? `it is tried again in ${Math.ceil(leftMs / 1_000)} s` : "the next delivery tries it"
  }.`,
});
