// What is checked before a worker pulls its first job, and again when a queue that did not answer does: what would cost jobs, and what a
// job cannot tell by itself. That the engine and the bucket answer is checked all the time, elsewhere; that a queue is missing or does not
// answer is told by the poll itself. `kamado doctor` looks at much more.
import type { SQSClient } from "@aws-sdk/client-sqs";
import { DISK_FULL_HINT } from "../aws/errors.ts";
import { grantAll, type Right, type Verdict } from "../aws/rights.ts";
import { KamadoError } from "../errors.ts";
import { freeBytesOf, LEAST_FREE, type Statfs } from "../free-disk.ts";
import { MOST_SKEW_MS, skewWords } from "./clock-skew.ts";
import { queueVerdicts, TO_CONSUME } from "./queue-rights.ts";

export type StartChecks = {
  sqs: SQSClient;
  /** The URLs of all queues with jobs. */
  queues: readonly string[];
  region: string | undefined;
  /** Undefined where the server is no judge of time, as an emulator. */
  clockSkew: (() => Promise<number | null>) | undefined;
  /** The folder that holds the queue and the bucket, if they are on this machine. */
  folder: string | undefined;
  statfs?: Statfs;
  /** For all checks together. [15 s] */
  timeoutMs?: number;
};

const NAME_TOO = "Check KAMADO_QUEUE_URL too: a queue that is not there is refused in the same words.";

/** Null when nothing is wrong, or when that cannot be said now: a check without an answer holds up no worker. Never rejects. */
export async function startCheck(checks: StartChecks): Promise<KamadoError | null> {
  const disk = diskError(checks);
  if (disk) return disk;
  const { promise: over, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), checks.timeoutMs ?? 15_000);
  const asked = [clockError(checks), rightsError(checks)];
  const [clock, rights] = await Promise.all(asked.map((one) => Promise.race([one.catch(() => null), over])));
  clearTimeout(timer);
  return clock ?? rights ?? null;
}

function diskError({ folder, statfs }: StartChecks): KamadoError | null {
  const free = folder === undefined ? undefined : freeBytesOf(folder, statfs);
  if (free === undefined || free >= LEAST_FREE) return null;
  return new KamadoError("disk_full", `The disk of ${folder} has ${Math.floor(free / 1_024)} KiB left.`, {
    hint: DISK_FULL_HINT,
  });
}

async function clockError({ clockSkew }: StartChecks): Promise<KamadoError | null> {
  const skew = (await clockSkew?.()) ?? 0;
  if (Math.abs(skew) < MOST_SKEW_MS) return null;
  return new KamadoError("clock_wrong", `This machine's clock is ${skewWords(skew, "AWS")}.`);
}

async function rightsError({ sqs, queues, region }: StartChecks): Promise<KamadoError | null> {
  const all = await Promise.all(queues.map((url) => queueVerdicts(sqs, url, TO_CONSUME, region)));
  // One of several that gives nothing costs no jobs, and its poll says so. The others go on.
  const giving = all.filter(([receive]) => receive?.is !== "denied");
  const missing = deniedIn((giving.length > 0 ? giving : all).flat());
  return missing.length === 0 ? null : permissionMissing(missing, giving.length === 0);
}

const deniedIn = (verdicts: readonly Verdict[]): Right[] =>
  verdicts.flatMap((verdict) => (verdict.is === "denied" ? [verdict.right] : []));

/** `isAll`: AWS lets the worker do nothing at all, as with a queue that is not there. */
function permissionMissing(missing: readonly Right[], isAll: boolean): KamadoError {
  const words = missing.map(({ action, resource }) => `${action} on ${resource}`).join(", ");
  return new KamadoError("permission_missing", `AWS does not let the worker do ${words}.`, {
    hint: `${grantAll(missing)} The policies in infra/template.yaml hold all that a worker needs.${isAll ? ` ${NAME_TOO}` : ""}`,
  });
}
