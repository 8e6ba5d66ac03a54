// How the bench reads the CPU time and memory of other processes.
import { describe, expect, test } from "vitest";
import {
  childIn,
  clockSeconds,
  cpuSeconds,
  familyBytes,
  residentBytes,
  statSeconds,
  sumOfFamily,
} from "../../bench/process-usage.ts";

describe("CPU time", () => {
  test.each([
    ["0:00.25", 0.25],
    ["12:03.50", 723.5],
    ["01:02:03", 3_723],
    ["2-01:00:00", 176_400],
    ["  00:00:07\n", 7],
  ])("in ps's %j is %f seconds", (text, expected) => {
    expect(clockSeconds(text)).toBeCloseTo(expected);
  });

  test("is read from /proc whatever the program is called", () => {
    const fields = "S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 11 0 100 1 2";
    expect(statSeconds(`42 (a) (b c) ${fields}`)).toBe(3);
  });

  test("and memory of this process can be read", () => {
    expect(cpuSeconds(process.pid)).toBeGreaterThan(0);
    expect(residentBytes(process.pid)).toBeGreaterThan(1e6);
    expect(familyBytes(process.pid)).toBeGreaterThan(1e6);
  });

  test("of a process that has ended is an error that says so", () => {
    expect(() => cpuSeconds(2 ** 22 + 1)).toThrow("has ended while it was measured");
  });

  test("of a child is that of the program with the name, whether ps prints its path or its name", () => {
    const text =
      "   10     1 node\n   11    10 sh\n   12    10 /opt/my bin/llama-server\n   13    10 a-long-named-se\n";
    expect(childIn(text, "llama-server", 10)).toBe(12);
    expect(childIn(text, "a-long-named-server", 10)).toBe(13);
    expect(childIn(text, "llama-server", 1)).toBeUndefined();
    expect(childIn("   12    10 llama-server <defunct>\n", "llama-server", 10)).toBeUndefined();
  });

  test("memory of a process includes its descendants and nothing else", () => {
    expect(sumOfFamily("    1     0  7\n 10 1 100\n 11 10 20\n 12 11 3\n 13 1 5000\n", 10)).toBe(123);
  });
});
