// What Linux says of GPU, memory and heat: nvidia-smi where there is one, and the files of the kernel (sysfs, /proc/pressure).
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Figure, joined, neverOf, noneOf, type Part, partOf, type Run, type Source } from "./reading.ts";

const GPU = ["gpuPercent", "gpuMemoryBytes", "gpuWatts", "temperature"] as const;
const QUERY =
  "nvidia-smi --query-gpu=utilization.gpu,memory.used,power.draw,temperature.gpu --format=csv,noheader,nounits";

/** `37, 4096, 71.52, 55`, a line for each card; memory is in MiB. What a card does not say is `[N/A]` or `[Not Supported]`. */
export function nvidiaOf(text: string): Part {
  const cards = text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => line.split(",").map((field) => (field.trim() === "" ? Number.NaN : Number(field))));
  const column = (index: number) => cards.map((card) => card[index] ?? Number.NaN).filter(Number.isFinite);
  return ofCards(
    column(0),
    column(1).map((mib) => mib * 2 ** 20),
    column(2),
    column(3),
    "nvidia-smi does not say it",
  );
}

function ofCards(
  percents: readonly number[],
  bytes: readonly number[],
  watts: readonly number[],
  degrees: readonly number[],
  why: string,
): Part {
  return partOf(GPU, why, {
    ...(percents.length > 0 && { gpuPercent: Math.max(...percents) }),
    ...(bytes.length > 0 && { gpuMemoryBytes: sum(bytes) }),
    ...(watts.length > 0 && { gpuWatts: sum(watts) }),
    ...(degrees.length > 0 && { temperature: Math.max(...degrees) }),
  });
}

const sum = (all: readonly number[]) => all.reduce((total, one) => total + one, 0);

/** The share of time in which processes waited for memory, over the last ten seconds: `some avg10=0.00 …` and `full avg10=0.00 …`. */
export function memoryPressureOf(text: string): Part {
  const average = (line: string) =>
    Number(new RegExp(`^${line} avg10=([\\d.]+)`, "m").exec(text)?.[1] ?? Number.NaN);
  const [some, full] = [average("some"), average("full")];
  if (Number.isNaN(some))
    return noneOf(["memoryPressure"], "this kernel does not measure it (/proc/pressure/memory)");
  const memoryPressure = full >= 10 ? "critical" : some >= 10 ? "warn" : "normal";
  return { found: { memoryPressure } };
}

/** What is below `root`, as far as it can be read. */
export type Files = {
  list(path: string): string[];
  number(path: string): number;
  text(path: string): string;
};

function filesBelow(root: string): Files {
  const text = (path: string) => {
    try {
      return readFileSync(join(root, path), "utf8");
    } catch {
      return "";
    }
  };
  return {
    text,
    number: (path) => (text(path).trim() === "" ? Number.NaN : Number(text(path))),
    list(path) {
      try {
        return readdirSync(join(root, path)).map((name) => `${path}/${name}`);
      } catch {
        return [];
      }
    },
  };
}

/** Cards whose driver writes into sysfs, as amdgpu does: power in microwatts, temperatures in thousandths of a degree. */
function cardsIn(files: Files): Part {
  const devices = files
    .list("sys/class/drm")
    .flatMap((path) => (/card\d+$/.test(path) ? [`${path}/device`] : []));
  const sensors = devices.flatMap((device) => files.list(`${device}/hwmon`));
  const numbers = (paths: readonly string[]) =>
    paths.map((path) => files.number(path)).filter(Number.isFinite);
  const watts = sensors.flatMap((at) => numbers([`${at}/power1_average`, `${at}/power1_input`]).slice(0, 1));
  return ofCards(
    numbers(devices.map((at) => `${at}/gpu_busy_percent`)),
    numbers(devices.map((at) => `${at}/mem_info_vram_used`)),
    watts.map((micro) => micro / 1e6),
    numbers(sensors.map((at) => `${at}/temp1_input`)).map((milli) => milli / 1e3),
    "no GPU was found that tells this (nvidia-smi, /sys/class/drm)",
  );
}

/** Sensors of the mainboard. Drivers write odd numbers where nothing is connected. */
function zonesIn(files: Files): Part {
  const degrees = files
    .list("sys/class/thermal")
    .filter((path) => /thermal_zone\d+$/.test(path))
    .map((path) => files.number(`${path}/temp`) / 1e3)
    .filter((value) => value > 0 && value < 150);
  if (degrees.length === 0)
    return noneOf(["temperature"], "this machine shows no temperature (/sys/class/thermal)");
  return { found: { temperature: Math.max(...degrees) } };
}

const ON_MAC: readonly Figure[] = ["thermalState", "idleSeconds"];

export function linuxSources(files: Files = filesBelow("/")): Source[] {
  let hasNvidia = true;
  const nvidia = async (run: Run) => {
    const ran = hasNvidia ? await run(QUERY.split(" ")) : { is: "missing" as const };
    if (ran.is === "missing") hasNvidia = false;
    if (ran.is === "output") return nvidiaOf(ran.out);
    return ran.is === "failed" ? noneOf(GPU, ran.why) : null;
  };
  return [
    {
      figures: GPU,
      async read(run) {
        const cards = await nvidia(run);
        const [own, zones] = [cards ?? cardsIn(files), zonesIn(files)];
        const hottest = Math.max(
          ...[own, zones].map(({ found }) => found.temperature ?? Number.NEGATIVE_INFINITY),
        );
        const both = joined([own, zones]);
        return Number.isFinite(hottest) ? { ...both, found: { ...both.found, temperature: hottest } } : both;
      },
    },
    { figures: ["memoryPressure"], read: async () => memoryPressureOf(files.text("proc/pressure/memory")) },
    { figures: ["cpuWatts"], read: async () => neverOf(["cpuWatts"], "Kamado reads it on macOS only") },
    { figures: ON_MAC, read: async () => neverOf(ON_MAC, "Kamado reads it on macOS only") },
  ];
}
