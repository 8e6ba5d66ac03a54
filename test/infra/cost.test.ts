// What infra/README.md reckons with: how many calls a job makes, where a change would else first be seen on the bill, and that the table
// adds up.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createRig, type Rig } from "../rig.ts";

const readme = readFileSync(join(import.meta.dirname, "../../infra/README.md"), "utf8");
const JOBS = 300_000;

async function runJob(rig: Rig, id: string): Promise<void> {
  await rig.send(id, { deliver: [{ sns: "arn:aws:sns:us-east-1:000000000000:kamado-results" }] });
  await rig.clock.advance(1_000);
  rig.run(id).finish();
  await rig.clock.advance(1_000);
}

/** Of the reads and writes of one job without a picture; those of a start and of the look at cancellations have been made before. */
async function callsOfJob() {
  const rig = createRig({ visibilitySeconds: 120 });
  rig.consumer.start();
  await runJob(rig, "first");
  const { get, put, putIf } = { ...rig.bucket.calls };
  await runJob(rig, "second");
  const { calls } = rig.bucket;
  return {
    gets: calls.get - get,
    puts: calls.put - put + calls.putIf - putIf,
    delivered: rig.deliveries.length,
  };
}

/** The amount that stands in the table's row, and the count before it. */
function row(start: string): { count: number; usd: number } {
  const line = readme.split("\n").find((one) => one.startsWith(`| ${start}`))!;
  const [count, usd] = line.split("|").slice(-3, -1) as [string, string];
  return { count: Number(count.replaceAll(",", "")), usd: Number(usd.replaceAll("*", "")) };
}

test("a job makes as many calls to the bucket as are reckoned with, and its picture is written and read once", async () => {
  const { gets, puts, delivered } = await callsOfJob();
  expect(delivered).toBe(2);
  expect(row("S3 PUT").count).toBe((puts + 1) * JOBS);
  expect(row("S3 GET: the picture").count).toBe((gets + 1) * JOBS);
});

test("the costs of a month follow from the counts and the prices beside them, and add up", () => {
  const price = (service: string, before: string) =>
    Number(new RegExp(`^\\| ${service}.*?([\\d.]+) USD ${before}`, "m").exec(readme)![1]);
  const cents = (usd: number) => Math.round(usd * 100) / 100;
  for (const [start, perThousand] of [
    ["S3 PUT", price("S3", "for 1,000 PUT")],
    ["S3 GET: the picture", price("S3", "for 1,000 GET")],
    ["S3 GET: whether", price("S3", "for 1,000 GET")],
  ] as const)
    expect([start, row(start).usd]).toEqual([start, cents((row(start).count / 1_000) * perThousand)]);
  const sends = 3 * JOBS + 2 * 4_320 * 30;
  expect(row("SQS: sends").usd).toBe(cents(((sends - 1e6) / 1e6) * price("SQS", "for a million calls")));
  const parts = [
    "SQS: sends",
    "S3 PUT",
    "S3 GET: the picture",
    "S3 GET: whether",
    "S3 storage",
    "SNS: one",
    "data out:",
  ];
  const sum = parts.reduce((all, start) => all + row(start).usd, 0);
  expect(row("**together**").usd).toBe(cents(sum));
});
