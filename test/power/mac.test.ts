// What is read of a Mac, from outputs of Apple's commands as they print them. No test here ran on a Mac.
import { describe, expect, test } from "vitest";
import {
  gpuOf,
  idleOf,
  macSources,
  memoryPressureOf,
  NOT_PERMITTED,
  REFUSED,
  thermalLevelOf,
  thermalWarningOf,
  wattsIn,
} from "../../worker/power/mac.ts";
import { createPowerReader } from "../../worker/power/power-reader.ts";
import type { Ran } from "../../worker/power/reading.ts";
import { FakeClock } from "../fakes/clock.ts";

const IOREG = `+-o AGXAcceleratorG16G  <class AGXAcceleratorG16G, id 0x1000003ea, registered, matched, active, busy 0 (44 ms), retain 94>
    {
      "IOClass" = "AGXAcceleratorG16G"
      "IOReportLegend" = ({"IOReportChannels"=((1,6442450945,"In use system memory"))})
      "PerformanceStatistics" = {"In use system memory (driver)"=0,"Alloc system memory"=9744187392,"Tiler Utilization %"=10,"recoveryCount"=0,"lastRecoveryTime"=0,"Renderer Utilization %"=15,"TiledSceneBytes"=1376256,"Device Utilization %"=16,"SplitSceneCount"=0,"Allocated PB Size"=20905984,"In use system memory"=2363801600}
      "model" = "Apple M4"
    }
`;
const HID = `+-o IOHIDSystem  <class IOHIDSystem, id 0x1000002cf, registered, matched, active, busy 0 (0 ms), retain 21>
    {
      "IOClass" = "IOHIDSystem"
      "HIDIdleTime" = 125000000000
      "HIDScrollCountBootDefault" = {"HIDScrollCountZoom"=0}
    }
`;
const POWERMETRICS = `Machine model: Mac16,10
*** Sampled system activity (Sun Nov 29 14:05:31 2026 +0900) (503.51ms elapsed) ***

**** Processor usage ****

E-Cluster HW active frequency: 1128 MHz
CPU Power: 372 mW
GPU Power: 4631 mW
ANE Power: 0 mW
Combined Power (CPU + GPU + ANE): 5003 mW

**** Thermal pressure ****

Current pressure level: Moderate

**** GPU usage ****

GPU HW active frequency: 338 MHz
GPU idle residency:  86.09%
GPU Power: 4598 mW
`;

test("the GPU's use and memory come from the accelerator's statistics", () => {
  expect(gpuOf(IOREG)).toEqual({ found: { gpuPercent: 16, gpuMemoryBytes: 2_363_801_600 } });
});

test.each([
  ["no accelerator", ""],
  ["one without these figures", '"PerformanceStatistics" = {"recoveryCount"=0}'],
  [
    "figures that cannot be",
    '"PerformanceStatistics" = {"Device Utilization %"=101,"In use system memory"=18446744071562067968}',
  ],
])("%s: both are absent with a reason", (_, text) => {
  const why = expect.stringContaining("ioreg");
  expect(gpuOf(text)).toEqual({ found: {}, absent: { gpuPercent: why, gpuMemoryBytes: why } });
});

test("idle time is counted in nanoseconds, and the least of several counts", () => {
  expect(idleOf(HID).found).toEqual({ idleSeconds: 125 });
  expect(idleOf(`${HID}"HIDIdleTime" = 500000000`).found).toEqual({ idleSeconds: 0.5 });
  expect(idleOf("")).toMatchObject({ found: {}, absent: { idleSeconds: expect.any(String) } });
});

test.each([
  ["1\n", "normal"],
  ["2\n", "warn"],
  ["4\n", "critical"],
  ["", undefined],
])("memory pressure %j is %s", (text, memoryPressure) => {
  expect(memoryPressureOf(text).found).toEqual(memoryPressure ? { memoryPressure } : {});
});

test.each([
  ["com.apple.system.thermalpressurelevel 0\n", "nominal"],
  ["com.apple.system.thermalpressurelevel 1\n", "fair"],
  ["com.apple.system.thermalpressurelevel 2\n", "serious"],
  ["com.apple.system.thermalpressurelevel 4\n", "critical"],
  ["com.apple.system.thermalpressurelevel: failed\n", undefined],
])("%j is the thermal state %s", (text, thermalState) => {
  expect(thermalLevelOf(text).found).toEqual(thermalState ? { thermalState } : {});
});

test.each([
  [
    "Note: No thermal warning level has been recorded\nNote: No performance warning level has been recorded\nNote: No CPU power status has been recorded\n",
    "nominal",
  ],
  [
    "2026-09-23 14:05:31 -0700 Thermal Warning Level = 70\nNote: No performance warning level has been recorded\n",
    "serious",
  ],
  [
    "Note: No thermal warning level has been recorded\n2025-04-06 20:50:47 -0500 CPU Power notify\n\tCPU_Scheduler_Limit \t= 100\n\tCPU_Available_CPUs \t= 12\n\tCPU_Speed_Limit \t= 72\n",
    "fair",
  ],
  ["Error: No thermal warning level with error code 0xe00002c2\n", undefined],
])("pmset's %j is %s", (text, thermalState) => {
  expect(thermalWarningOf(text).found).toEqual(thermalState ? { thermalState } : {});
});

test("powermetrics gives watts and the thermal state", () => {
  expect(wattsIn(POWERMETRICS)).toEqual({
    found: { gpuWatts: 4.631, cpuWatts: 0.372, thermalState: "fair" },
  });
  expect(wattsIn("").absent).toMatchObject({ gpuWatts: expect.any(String), cpuWatts: expect.any(String) });
});

describe("a whole Mac", () => {
  function mac(answers: Record<string, string | Ran>, isRoot = false, isPermitted = false) {
    const ran: string[] = [];
    const clock = new FakeClock();
    const run = async (command: readonly string[]): Promise<Ran> => {
      const line = command.join(" ");
      ran.push(line);
      const answer = Object.entries(answers).find(([part]) => line.includes(part))?.[1];
      if (answer === undefined) return { is: "failed", why: "it failed" };
      return typeof answer === "string" ? { is: "output", out: answer } : answer;
    };
    return {
      ran,
      clock,
      reader: createPowerReader({ sources: macSources(isRoot, () => isPermitted), run, clock }),
    };
  }
  const ANSWERS = {
    IOAccelerator: IOREG,
    IOHIDSystem: HID,
    vm_pressure_level: "1\n",
    "pmset -g therm": "Note: No thermal warning level has been recorded\n",
  };

  test("without rights all but watts and degrees is known, and the reasons say why these are not", async () => {
    const { reader, ran } = mac(ANSWERS);
    expect(await reader.read()).toEqual({
      at: expect.any(Number),
      gpuPercent: 16,
      gpuMemoryBytes: 2_363_801_600,
      idleSeconds: 125,
      memoryPressure: "normal",
      thermalState: "nominal",
      absent: {
        gpuWatts: NOT_PERMITTED,
        cpuWatts: NOT_PERMITTED,
        temperature: expect.stringContaining("thermalState"),
      },
    });
    // Nobody is surprised by a sudo that was not asked for.
    expect(ran.filter((line) => /sudo|powermetrics/.test(line))).toEqual([]);
  });

  test("sudo that was refused is not asked again; the other commands are", async () => {
    const { reader, ran, clock } = mac(ANSWERS, false, true);
    expect((await reader.read()).absent.gpuWatts).toBe(REFUSED);
    await clock.advance(60_000);
    await reader.read();
    expect(ran.filter((line) => line.includes("sudo"))).toEqual([
      expect.stringMatching(/^\/usr\/bin\/sudo -n \/usr\/bin\/powermetrics /),
    ]);
    expect(ran.filter((line) => line.includes("IOHIDSystem"))).toHaveLength(2);
  });

  test("where powermetrics is permitted watts are known; root asks it without sudo", async () => {
    const { reader, ran } = mac({ ...ANSWERS, powermetrics: POWERMETRICS }, true);
    expect(await reader.read(["gpuWatts", "cpuWatts"])).toMatchObject({ gpuWatts: 4.631, cpuWatts: 0.372 });
    expect(ran).toEqual([expect.stringMatching(/^\/usr\/bin\/powermetrics /)]);
  });

  test("notifyutil's thermal state goes before pmset's, which is then not asked", async () => {
    const { reader, ran } = mac({ ...ANSWERS, notifyutil: "com.apple.system.thermalpressurelevel 2\n" });
    expect(await reader.read(["thermalState"])).toMatchObject({ thermalState: "serious" });
    expect(ran.some((line) => line.includes("pmset"))).toBe(false);
  });
});
