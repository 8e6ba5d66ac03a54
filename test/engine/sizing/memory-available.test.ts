import { describe, expect, test } from "vitest";
import { availableOf } from "../../../worker/engine/sizing/memory-available.ts";

const GIB = 2 ** 30;

describe("available is", () => {
  const linux = { platform: "linux", totalBytes: 16 * GIB, processBytes: 15 * GIB };
  const meminfo = `MemTotal:       16777216 kB\nMemFree:          204800 kB\nMemAvailable:   12582912 kB\n`;

  test.each([
    ["on Linux what it can free at once, not what is free", { ...linux, meminfo }, 12],
    ["in a container what its limit leaves", { ...linux, meminfo, processBytes: 2 * GIB }, 2],
    ["on a Linux without that figure the process's own", linux, 15],
    [
      "on a Mac what its GPU may hold, whatever is free",
      { ...linux, platform: "darwin", processBytes: GIB },
      (16 * 2) / 3,
    ],
    [
      "on a Mac with 32 GB the same share",
      { ...linux, platform: "darwin", totalBytes: 32 * GIB },
      (32 * 2) / 3,
    ],
    ["on a Mac with 36 GB or more a larger one", { ...linux, platform: "darwin", totalBytes: 36 * GIB }, 27],
  ])("%s", (_, facts, gib) => {
    expect(availableOf(facts) / GIB).toBeCloseTo(gib, 6);
  });
});
