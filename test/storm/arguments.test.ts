// What the storm's command line takes, and what it says of what it does not.
import { expect, test } from "vitest";
import { askedOf, USAGE } from "../../storm/arguments.ts";

const asked = (...args: string[]) => askedOf(args, () => 5);

test("without flags it is the storm that the manual tells of, with a new seed", () => {
  expect(asked()).toEqual({ jobs: 2_000, kills: 200, seed: 5, workers: 3, seconds: 200, keep: false });
});

test("as many jobs as ids can tell apart are taken, and one more is refused by name", () => {
  expect(asked("--jobs", "99999")).toMatchObject({ jobs: 99_999 });
  expect(() => asked("--jobs", "100000")).toThrow(
    "--jobs: must be a whole number from 1 to 99999, not 100000.",
  );
  expect(USAGE).toContain("up to 99999");
});

test.each([
  ["--jobs", "0"],
  ["--kills", "-1"],
  ["--workers", "some"],
])("%s %s is refused", (flag, value) => {
  expect(() => asked(`${flag}=${value}`)).toThrow(`${flag}: must be a whole number`);
});
