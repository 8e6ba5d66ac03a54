// What is read of a Linux machine: nvidia-smi's answers, and files as the kernel's drivers write them.
import { expect, test } from "vitest";
import { type Files, linuxSources, memoryPressureOf, nvidiaOf } from "../../worker/power/linux.ts";
import { createPowerReader } from "../../worker/power/power-reader.ts";
import type { Ran } from "../../worker/power/reading.ts";
import { FakeClock } from "../fakes/clock.ts";

function filesOf(all: Record<string, string>): Files {
  const text = (path: string) => all[path] ?? "";
  return {
    text,
    number: (path) => (text(path).trim() === "" ? Number.NaN : Number(text(path))),
    list: (path) => [
      ...new Set(
        Object.keys(all)
          .filter((one) => one.startsWith(`${path}/`))
          .map((one) => `${path}/${one.slice(path.length + 1).split("/")[0]}`),
      ),
    ],
  };
}

function reader(files: Record<string, string>, smi: Ran = { is: "missing" }) {
  const ran: string[] = [];
  const run = async (command: readonly string[]) => {
    ran.push(command[0]!);
    return smi;
  };
  const clock = new FakeClock();
  return { ran, clock, ...createPowerReader({ sources: linuxSources(filesOf(files)), run, clock }) };
}

test.each([
  [
    "37, 4096, 71.52, 55\n",
    { gpuPercent: 37, gpuMemoryBytes: 4_294_967_296, gpuWatts: 71.52, temperature: 55 },
  ],
  [
    "3, 10, 20.5, 40\n90, 10, 300, 71\n",
    { gpuPercent: 90, gpuMemoryBytes: 20_971_520, gpuWatts: 320.5, temperature: 71 },
  ],
  ["[N/A], 10, [Not Supported], 40\n", { gpuMemoryBytes: 10_485_760, temperature: 40 }],
  ["", {}],
])("nvidia-smi's %j", (text, found) => {
  expect(nvidiaOf(text).found).toEqual(found);
});

test.each([
  [
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "normal",
  ],
  [
    "some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=0\n",
    "warn",
  ],
  [
    "some avg10=40.00 avg60=1.00 avg300=0.00 total=9\nfull avg10=25.00 avg60=0.00 avg300=0.00 total=0\n",
    "critical",
  ],
  ["", undefined],
])("memory pressure by the time that processes waited: %j is %s", (text, memoryPressure) => {
  expect(memoryPressureOf(text).found).toEqual(memoryPressure ? { memoryPressure } : {});
});

const AMD = {
  "sys/class/drm/card0/device/gpu_busy_percent": "42\n",
  "sys/class/drm/card0/device/mem_info_vram_used": "1073741824\n",
  "sys/class/drm/card0/device/hwmon/hwmon3/power1_average": "87000000\n",
  "sys/class/drm/card0/device/hwmon/hwmon3/temp1_input": "61000\n",
  "sys/class/drm/card0-HDMI-A-1/status": "connected\n",
};
const ZONES = {
  "sys/class/thermal/thermal_zone0/temp": "54000\n",
  "sys/class/thermal/thermal_zone1/temp": "-274000\n",
};

test("a card whose driver writes into sysfs needs no command, and the hottest sensor counts", async () => {
  const { read } = reader({ ...AMD, ...ZONES });
  expect(await read()).toMatchObject({
    gpuPercent: 42,
    gpuMemoryBytes: 2 ** 30,
    gpuWatts: 87,
    temperature: 61,
  });
});

test("a machine without anything has no figure, and a reason for each", async () => {
  const reading = await reader({}).read();
  expect(Object.keys(reading.absent).toSorted()).toEqual([
    "cpuWatts",
    "gpuMemoryBytes",
    "gpuPercent",
    "gpuWatts",
    "idleSeconds",
    "memoryPressure",
    "temperature",
    "thermalState",
  ]);
  expect(Object.values(reading.absent).every((why) => why.length > 10)).toBe(true);
});

test("a machine without a GPU still has the temperature of its mainboard", async () => {
  expect(await reader(ZONES).read()).toMatchObject({
    temperature: 54,
    absent: { gpuPercent: expect.stringContaining("no GPU") },
  });
});

test("where there is no nvidia-smi it is looked for once", async () => {
  const { read, ran, clock } = reader(AMD);
  await read();
  await clock.advance(60_000);
  await read();
  expect(ran).toEqual(["nvidia-smi"]);
});

test("nvidia-smi that fails says why, and is asked again", async () => {
  const { read, ran, clock } = reader({}, { is: "failed", why: "nvidia-smi failed with code 9" });
  expect((await read()).absent.gpuPercent).toBe("nvidia-smi failed with code 9");
  await clock.advance(60_000);
  await read();
  expect(ran).toHaveLength(2);
});
