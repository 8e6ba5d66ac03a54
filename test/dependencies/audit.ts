// `npm run audit`: what we depend on against policy.ts, and against the registry's advisories where it can be asked.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Audit, advisoriesOf, type Lock, leftovers, problemsOf } from "./policy.ts";

const ROOT = resolve(import.meta.dirname, "../..");

function lock(): Lock {
  return JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as Lock;
}

/** The registry's answer, or why there is none: a mirror may not have this service. */
function askRegistry(): Audit | string {
  // With many advisories the answer is long; one that was cut off would count as none.
  const options = { cwd: ROOT, encoding: "utf8", timeout: 60_000, maxBuffer: 2 ** 26, shell: false } as const;
  const { stdout, error } = spawnSync("npm", ["audit", "--json"], options);
  try {
    const answer = JSON.parse(stdout) as Audit & { message?: string };
    if (answer.vulnerabilities !== undefined) return answer;
    return answer.message ?? "its answer has no list";
  } catch {
    return error?.message ?? "there is no answer";
  }
}

const found = askRegistry();
const problems = [
  ...problemsOf(lock()),
  ...leftovers(lock()),
  ...(typeof found === "string" ? [] : advisoriesOf(found, new Date().toISOString().slice(0, 10))),
];
// Hosts of mirrors are nobody's business.
if (typeof found === "string")
  console.log(`advisories: not asked for, the registry cannot say (${found.replaceAll(/https?:\S+/g, "…")})`);
for (const problem of problems) console.error(problem);
console.log(`dependencies: ${Object.keys(lock().packages).length - 1} packages, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
