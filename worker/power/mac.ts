// What macOS says of GPU, memory, heat and use, by Apple's own commands, as they document their output or print it. All but powermetrics
// need no rights. powermetrics needs root: it is asked where this process is root, or where sudo lets it without a password.
import { existsSync } from "node:fs";
import {
  type Figure,
  neverOf,
  noneOf,
  type Part,
  partOf,
  type Ran,
  type Run,
  type Source,
  type ThermalState,
} from "./reading.ts";

const GPU = ["gpuPercent", "gpuMemoryBytes"] as const;
const WATTS = ["gpuWatts", "cpuWatts"] as const;

/**
 * `"PerformanceStatistics" = {"In use system memory (driver)"=0,"Device Utilization %"=16,…,"In use system memory"=2363801600}`; one line for
 * each accelerator.
 */
export function gpuOf(text: string): Part {
  const all = [...text.matchAll(/"PerformanceStatistics" = \{([^}]*)\}/g)].map(([, inner]) => inner!);
  const values = (name: string) =>
    all.flatMap((statistics) => {
      const value = new RegExp(`"${name}"=(\\d+)`).exec(statistics)?.[1];
      return value === undefined ? [] : [Number(value)];
    });
  const percents = values("Device Utilization %").filter((percent) => percent <= 100);
  // A driver that counts below zero writes a number near 2^64.
  const bytes = values("In use system memory").filter(Number.isSafeInteger);
  return partOf(GPU, "ioreg shows no such figure of this GPU", {
    ...(percents.length > 0 && { gpuPercent: Math.max(...percents) }),
    ...(bytes.length > 0 && { gpuMemoryBytes: bytes.reduce((sum, one) => sum + one, 0) }),
  });
}

/** `"HIDIdleTime" = 12345678900`, in nanoseconds; the least of several. */
export function idleOf(text: string): Part {
  const all = [...text.matchAll(/"HIDIdleTime" = (\d+)/g)].map(([, value]) => Number(value) / 1e9);
  return partOf(
    ["idleSeconds"],
    "ioreg shows no HIDIdleTime",
    all.length > 0 ? { idleSeconds: Math.min(...all) } : {},
  );
}

/** Of `sysctl -n kern.memorystatus_vm_pressure_level`. */
export function memoryPressureOf(text: string): Part {
  const level = { 1: "normal", 2: "warn", 4: "critical" }[text.trim()] as Part["found"]["memoryPressure"];
  return partOf(
    ["memoryPressure"],
    "macOS does not say it",
    level === undefined ? {} : { memoryPressure: level },
  );
}

/** As `notifyutil` and powermetrics count and call it. */
const LEVELS: readonly ThermalState[] = ["nominal", "fair", "serious", "critical", "critical"];
const WORDS: Record<string, ThermalState> = {
  Nominal: "nominal",
  Moderate: "fair",
  Heavy: "serious",
  Trapping: "critical",
  Sleeping: "critical",
};

/** Of `notifyutil -g com.apple.system.thermalpressurelevel`: the name and 0 to 4. */
export function thermalLevelOf(text: string): Part {
  const level = /^com\.apple\.system\.thermalpressurelevel (\d+)\s*$/m.exec(text)?.[1];
  const state = level === undefined ? undefined : LEVELS[Number(level)];
  return partOf(
    ["thermalState"],
    "macOS does not say it",
    state === undefined ? {} : { thermalState: state },
  );
}

/** Of `pmset -g therm`. A Mac that never got hot has recorded nothing; one with Intel shows how much of its speed is left. */
export function thermalWarningOf(text: string): Part {
  const warning = Number(/Thermal Warning Level\s*=\s*(\d+)/i.exec(text)?.[1] ?? 0);
  const speed = Number(/CPU_Speed_Limit\s*=\s*(\d+)/.exec(text)?.[1] ?? 100);
  if (warning > 0) return { found: { thermalState: "serious" } };
  if (speed < 100) return { found: { thermalState: "fair" } };
  const isSaid = /No thermal warning level has been recorded|Thermal Warning Level\s*=|CPU_Speed_Limit/i.test(
    text,
  );
  return partOf(
    ["thermalState"],
    "pmset -g therm does not say it",
    isSaid ? { thermalState: "nominal" } : {},
  );
}

/** Of `powermetrics --samplers cpu_power,gpu_power,thermal`: `GPU Power: 34 mW`, `Current pressure level: Nominal`. */
export function wattsIn(text: string): Part {
  const watts = (name: string) => {
    const [, value, unit] = new RegExp(`^${name} Power: ([\\d.]+) (m?)W`, "m").exec(text) ?? [];
    return value === undefined ? undefined : Number(value) / (unit === "m" ? 1_000 : 1);
  };
  const [gpuWatts, cpuWatts] = [watts("GPU"), watts("CPU")];
  const state = WORDS[/Current pressure level: (\w+)/.exec(text)?.[1] ?? ""];
  const part = partOf(WATTS, "powermetrics shows no watts of this machine", {
    ...(gpuWatts !== undefined && { gpuWatts }),
    ...(cpuWatts !== undefined && { cpuWatts }),
  });
  return { ...part, found: { ...part.found, ...(state && { thermalState: state }) } };
}

const IOREG = ["/usr/sbin/ioreg", "-r", "-d", "1", "-w", "0", "-c"];
const POWERMETRICS =
  "/usr/bin/powermetrics --samplers cpu_power,gpu_power,thermal --sample-rate 500 --sample-count 1";
/** Who writes this file permits powermetrics. Without it sudo is not run: a refusal is logged, and on some systems mailed to root. */
const PERMISSION = "/etc/sudoers.d/kamado";
export const NOT_PERMITTED = `macOS gives watts to root only, and there is no ${PERMISSION} that permits powermetrics (docs/power.md)`;
export const REFUSED = `sudo refuses powermetrics although ${PERMISSION} is there; compare it with docs/power.md and start Kamado again`;
const NO_DEGREES = "macOS gives no temperature in degrees; thermalState says whether the machine is hot";

/** `isRoot`: of this process. */
export function macSources(isRoot: boolean, isPermitted = () => existsSync(PERMISSION)): Source[] {
  return [
    ofCommand([...IOREG, "IOAccelerator"], GPU, gpuOf),
    ofCommand([...IOREG, "IOHIDSystem"], ["idleSeconds"], idleOf),
    ofCommand(
      ["/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level"],
      ["memoryPressure"],
      memoryPressureOf,
    ),
    { figures: ["thermalState"], read: readThermalState },
    {
      figures: WATTS,
      read: (run) => readWatts(run, isRoot, isPermitted),
    },
    {
      figures: ["temperature"],
      read: async () => neverOf(["temperature"], NO_DEGREES),
    },
  ];
}

async function readWatts(run: Run, isRoot: boolean, isPermitted: () => boolean) {
  if (!isRoot && !isPermitted()) return noneOf(WATTS, NOT_PERMITTED);
  const power = POWERMETRICS.split(" ");
  const ran = await run(isRoot ? power : ["/usr/bin/sudo", "-n", ...power]);
  if (ran.is === "output") return wattsIn(ran.out);
  return isRoot ? parsed(ran, WATTS, wattsIn) : neverOf(WATTS, REFUSED);
}

/** notifyutil knows more steps than pmset. */
async function readThermalState(run: Run): Promise<Part> {
  const level = await run(["/usr/bin/notifyutil", "-g", "com.apple.system.thermalpressurelevel"]);
  const part = level.is === "output" ? thermalLevelOf(level.out) : null;
  if (part?.found.thermalState !== undefined) return part;
  return parsed(await run(["/usr/bin/pmset", "-g", "therm"]), ["thermalState"], thermalWarningOf);
}

const ofCommand = (
  command: readonly string[],
  figures: readonly Figure[],
  parse: (text: string) => Part,
): Source => ({ figures, read: async (run) => parsed(await run(command), figures, parse) });

function parsed(ran: Ran, figures: readonly Figure[], parse: (text: string) => Part): Part {
  if (ran.is === "output") return parse(ran.out);
  return noneOf(figures, ran.is === "missing" ? "this macOS lacks the command for it" : ran.why);
}
