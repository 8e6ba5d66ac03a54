// How far the clock is off, by what a server says.
import { expect, test } from "vitest";
import { clockSkewMs, isAws, skewWords } from "../../worker/checks/clock-skew.ts";
import { awsServer } from "../fakes/aws-server.ts";

const SERVER = Date.parse("2026-11-29T12:00:00Z");

const at = (date: string | null, status = 404) =>
  awsServer((_, response) => {
    response.sendDate = false;
    response.writeHead(status, date === null ? {} : { date }).end();
  });

test.each([
  [0, "0 seconds ahead of AWS"],
  [-90_000, "90 seconds behind AWS"],
  [7 * 60_000, "7 minutes ahead of AWS"],
  [-3_600_000, "60 minutes behind AWS"],
])("a clock that is %i ms off is told, whatever else the server answers", async (offMs, words) => {
  await using server = await at(new Date(SERVER).toUTCString());
  const skew = await clockSkewMs(server.endpoint, () => SERVER + 500 + offMs);
  expect(skew).toBe(offMs);
  expect(skewWords(skew!, "AWS")).toBe(words);
});

test("AWS alone is a judge of time, whatever the queue's address looks like", () => {
  const hosts = [
    "sqs.eu-central-1.amazonaws.com",
    "eu-central-1.queue.amazonaws.com",
    "sqs.cn-north-1.amazonaws.com.cn",
  ];
  const others = ["vpce-1.sqs.eu-central-1.vpce.amazonaws.com", "sqs.eu-central-1.api.aws"];
  for (const host of [...hosts, ...others]) expect(isAws(`https://${host}/1/jobs`), host).toBe(true);
  for (const host of [
    "localhost:4566",
    "sqs.us-east-1.localhost.localstack.cloud:4566",
    "amazonaws.com.home",
  ])
    expect(isAws(`http://${host}/1/jobs`), host).toBe(false);
});

test("a server without a Date, and one that is not there, say nothing", async () => {
  await using server = await at(null);
  await using gone = await at(null);
  await gone[Symbol.asyncDispose]();
  expect([await clockSkewMs(server.endpoint), await clockSkewMs(gone.endpoint)]).toEqual([null, null]);
});
