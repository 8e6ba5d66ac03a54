// Whether the policies that pause pulling can work on this machine, and whether trouble can be told. Says nothing of what is not set.
import type { Config } from "../config/config.ts";
import { toKamadoError } from "../errors.ts";
import { destinationFor, loadDestinations } from "../outbound/destinations.ts";
import { tryConnection } from "../outbound/try-connection.ts";
import { decide, figuresFor } from "../power/policies.ts";
import { createPowerReader, sourcesOf } from "../power/power-reader.ts";
import type { Run } from "../power/reading.ts";
import type { Machine } from "../service/machine.ts";
import { checkWebhook } from "../trouble/channels.ts";
import { type Finding, fail, failed, ok, warn } from "./finding.ts";
import { LOOK } from "./machine.ts";

/** Reads what the policies need, as a worker does. */
export async function policyFindings({ power }: Config, machine: Machine): Promise<Finding[]> {
  const figures = figuresFor(power);
  if (figures.length === 0) return [];
  const run: Run = async (command) => {
    const { code, out } = await machine.run(command, LOOK);
    if (code === 0) return { is: "output", out };
    return code === 127 ? { is: "missing" } : { is: "failed", why: `${command[0]} failed with code ${code}` };
  };
  const clock = { now: () => performance.now(), wall: () => Date.now() };
  const sources = sourcesOf(machine.platform, machine.uid === 0);
  const reading = await createPowerReader({ sources, run, clock }).read(figures);
  const { ineffective } = decide(power, { reading, now: 0, wall: 0 }, {});
  const shown = figures.flatMap((figure) =>
    reading[figure] === undefined ? [] : `${figure} ${reading[figure]}`,
  );
  return [
    ...ineffective.map(({ setting, reason }) =>
      warn("pauses", `${setting} has no effect: ${reason}`, "Unset it, or read docs/power.md."),
    ),
    ...(shown.length > 0 ? [ok("pauses", `can be decided: ${shown.join(", ")}`)] : []),
  ];
}

/** Connects to the webhook, and sends nothing. */
export async function troubleFindings({ trouble, destinationsFile }: Config): Promise<Finding[]> {
  if (trouble.url === undefined) return [];
  const url = trouble.url.reveal();
  try {
    const destinations = loadDestinations(destinationsFile);
    checkWebhook(trouble.url, destinations);
    const known = destinationFor(destinations, url);
    const error = await tryConnection(url, { allowPrivate: known?.allowPrivate ?? false });
    if (error === null) return [ok("trouble", `the webhook at ${new URL(url).hostname} takes connections`)];
    return [
      fail(
        "trouble",
        error.message,
        "Start it, or correct KAMADO_TROUBLE_URL; until then nobody hears of trouble.",
      ),
    ];
  } catch (thrown) {
    return [failed("trouble", toKamadoError(thrown, "config_invalid"))];
  }
}
