// Which Node Kamado needs, and that everything that names it says the same. `using`, for one, is new in Node 24: an older Node does not
// start the command.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (name: string) => readFileSync(resolve(ROOT, name), "utf8");
const NEEDED = 24;
/** In which install.mjs runs, before it has brought another. */
const ENOUGH_TO_INSTALL = 20;

const project = JSON.parse(read("package.json"));

test("package.json, the lock file, install.mjs and the README name the Node that the code needs", () => {
  expect(project.engines.node).toBe(`>=${NEEDED}`);
  expect(JSON.parse(read("package-lock.json")).packages[""].engines).toEqual(project.engines);
  expect(read("install.mjs")).toContain(`const OLDEST = ${ENOUGH_TO_INSTALL};`);
  expect(read("install.mjs")).toContain(`!pinned && major < ${NEEDED}`);
  expect(read("README.md")).toContain(`npm with Node ${ENOUGH_TO_INSTALL} or later`);
  expect(read("README.md").match(/Node (\d+)/g)).toEqual([
    `Node ${ENOUGH_TO_INSTALL}`,
    `Node ${NEEDED}`,
    `Node ${NEEDED}`,
  ]);
});

test("the Node that the lock brings is one version, new enough, and the one that runs here", () => {
  const pinned: Record<string, string> = project.optionalDependencies;
  const versions = new Set(
    Object.entries(pinned).flatMap(([name, version]) => (name.startsWith("node-") ? version : [])),
  );
  expect(versions.size).toBe(1);
  const [version] = versions;
  expect(Number(version!.split(".")[0])).toBeGreaterThanOrEqual(NEEDED);
  if (Object.keys(pinned).includes(`node-${process.platform}-${process.arch}`))
    expect(process.version).toBe(`v${version}`);
});
