// What the storm's command line accepts, and how it refuses the rest.
import { expect, test } from "vitest";
import { parseArguments, USAGE } from "../../storm/arguments.ts";

const parsed = (...args: string[]) => parseArguments(args, () => 5);

test("without flags it is the storm that docs/storm.md describes, with a new seed", () => {
  expect(parsed()).toEqual({ jobs: 2_000, kills: 200, seed: 5, workers: 3, seconds: 200, keep: false });
});

test("as many jobs as there are ids are accepted; one more is refused, and the message names the flag", () => {
  expect(parsed("--jobs", "99999")).toMatchObject({ jobs: 99_999 });
  expect(() => parsed("--jobs", "100000")).toThrow(
    "--jobs: must be a whole number from 1 to 99999, not 100000.",
  );
  expect(USAGE).toContain("up to 99999");
});

test.each([
  ["--jobs", "0"],
  ["--kills", "-1"],
  ["--workers", "some"],
])("%s %s is refused", (flag, value) => {
  expect(() => parsed(`${flag}=${value}`)).toThrow(`${flag}: must be a whole number`);
});
