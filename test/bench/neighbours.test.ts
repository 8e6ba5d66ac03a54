// What the table of neighbours computes, and that its attackers are what they claim to be.
import { describe, expect, test } from "vitest";
import { jpegOfScans, png16, webpOfFrames } from "../../bench/hostile-pictures.ts";
import { counted, phaseOf, ratioOf } from "../../bench/neighbours.ts";

const good = (ms: number) => ({ ms, succeeded: true });

describe("a phase", () => {
  test("counts jobs that failed and jobs that did not end", () => {
    const ended = [good(10), good(20), { ms: 30, succeeded: false }, { ms: 90, succeeded: undefined }];
    expect(phaseOf(ended)).toMatchObject({ jobs: 4, failed: 1, unfinished: 1, longest: 90 });
  });

  test("that took twice as long has the ratio 2", () => {
    const [alone, beside] = [phaseOf([good(10), good(10)]), phaseOf([good(20), good(20)])];
    expect(ratioOf({ alone, beside })).toBe(2);
  });

  test("with a job that failed or did not end meets no target", () => {
    const alone = phaseOf([good(10)]);
    for (const succeeded of [false, undefined])
      expect(ratioOf({ alone, beside: phaseOf([{ ms: 10, succeeded }]) })).toBeNaN();
  });
});

test("the ends of the attacker's jobs are counted by name", () => {
  expect(counted(["budget_exceeded", "succeeded", "budget_exceeded"])).toBe("2 budget_exceeded, 1 succeeded");
  expect(counted([])).toBe("");
});

describe("a hostile picture", () => {
  const count = (bytes: Buffer, what: string | number[]) => {
    const wanted = Buffer.from(what as string, "latin1");
    let found = 0;
    for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) found++;
    return found;
  };

  test("has as many scans or frames as were asked for", async () => {
    const scans = async (extra: number) => count(await jpegOfScans(extra, 64), [0xff, 0xda]);
    expect((await scans(50)) - (await scans(0))).toBe(50);
    expect(count(await webpOfFrames(50, 64), "ANMF")).toBe(50);
  });

  test("has its size in its header, and almost no bytes", () => {
    const png = png16(5_000, 10);
    expect([png.readUInt32BE(16), png.readUInt32BE(20), png[24]]).toEqual([5_000, 10, 16]);
    expect(png.length).toBeLessThan(1_000);
  });
});
