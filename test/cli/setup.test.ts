// `kamado setup aws`, against a stub that answers as CloudFormation does. The same against a deployed stack: test/infra/setup.test.ts.
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { setupAws } from "../../worker/cli/commands/setup.ts";
import { loadConfig } from "../../worker/config/config.ts";

const OUTPUTS: Record<string, string> = {
  Region: "eu-central-1",
  JobsQueueUrl: "https://sqs.eu-central-1.amazonaws.com/123456789012/kamado-jobs",
  JobsDeadQueueUrl: "https://sqs.eu-central-1.amazonaws.com/123456789012/kamado-jobs-dead",
  DeliveriesQueueUrl: "https://sqs.eu-central-1.amazonaws.com/123456789012/kamado-deliveries",
  DeliveriesDeadQueueUrl: "https://sqs.eu-central-1.amazonaws.com/123456789012/kamado-deliveries-dead",
  BucketName: "kamado-123456789012-eu-central-1",
  TopicArn: "arn:aws:sns:eu-central-1:123456789012:kamado-results",
  WorkerUserName: "kamado-worker",
  JobsApiUrl: "https://abc.execute-api.eu-central-1.amazonaws.com/v1/jobs",
};
const ALL = [
  "AWS_REGION=eu-central-1",
  `KAMADO_QUEUE_URL=${OUTPUTS.JobsQueueUrl}`,
  `KAMADO_DEAD_QUEUE_URL=${OUTPUTS.JobsDeadQueueUrl}`,
  `KAMADO_DELIVERIES_QUEUE_URL=${OUTPUTS.DeliveriesQueueUrl}`,
  `KAMADO_DEAD_DELIVERIES_QUEUE_URL=${OUTPUTS.DeliveriesDeadQueueUrl}`,
  `KAMADO_BUCKET=${OUTPUTS.BucketName}`,
  `KAMADO_TOPIC_ARN=${OUTPUTS.TopicArn}`,
];

const stackOf = (status: string, outputs: Record<string, string>) => {
  const members = Object.entries(outputs).map(
    ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
  );
  return `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
<StackName>kamado</StackName><CreationTime>2026-11-29T00:00:00Z</CreationTime><StackStatus>${status}</StackStatus><Outputs>${members.join("")}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`;
};
const failure = (code: string, message: string) =>
  `<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`;

let answer: { status: number; body: string };
const asked: string[] = [];
const server = createServer(async (request, response) => {
  asked.push(await text(request));
  response.writeHead(answer.status, { "content-type": "text/xml" }).end(answer.body);
});
let endpoint: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

let file: string;
beforeEach(() => {
  answer = { status: 200, body: stackOf("CREATE_COMPLETE", OUTPUTS) };
  file = join(mkdtempSync(join(tmpdir(), "kamado-setup-")), "deep", "kamado.env");
});

const KEYS = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };
const setup = (flags: Record<string, string | boolean> = {}) =>
  setupAws({ stack: "kamado", file, ...flags }, loadConfig(KEYS, { AWS_ENDPOINT_URL: endpoint }));
const linesOf = () => readFileSync(file, "utf8").trimEnd().split("\n");

test("the file has everything that the stack made, is its owner's alone, and what to do next is said", async () => {
  const said = await setup();
  expect(linesOf()).toEqual([...ALL, `AWS_ENDPOINT_URL=${endpoint}`, "KAMADO_POLL_SECONDS=20"]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(said).toContain("aws iam create-access-key --user-name kamado-worker");
  expect(said).toContain(OUTPUTS.JobsApiUrl);
  expect(asked.at(-1)).toContain("StackName=kamado");
});

test("the command that makes a key, as it is shown, writes it into the file and fits 80 columns", async () => {
  const folder = join(file, "..", "my settings");
  file = join(folder, "kamado.env");
  const said = await setup();
  const [command = ""] = /^ {2}aws iam create-access-key [\s\S]*?(?=\n\n)/m.exec(said) ?? [];
  const aws =
    '#!/bin/sh\nprintf "%s\\n" "$@" >"$0.asked"; printf "AWS_ACCESS_KEY_ID=AKIA\\tAWS_SECRET_ACCESS_KEY=s\\n"';
  writeFileSync(join(folder, "aws"), aws, { mode: 0o755 });
  execFileSync("sh", ["-c", command], { env: { PATH: `${folder}:${process.env.PATH}` } });
  expect(linesOf().slice(-2)).toEqual(["AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=s"]);
  expect(readFileSync(join(folder, "aws.asked"), "utf8")).toContain("--output\ntext\n--query\nAccessKey.[");
  const lines = said.split("\n").filter((line) => !line.includes(folder) && !line.includes("https://"));
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
});

test("the worker understands every line of it", async () => {
  await setup();
  const variables = Object.fromEntries(linesOf().map((line) => line.split(/=(.*)/s).slice(0, 2)));
  const config = loadConfig({}, variables);
  expect(config).toMatchObject({
    queueUrl: OUTPUTS.JobsQueueUrl,
    deadQueueUrl: OUTPUTS.JobsDeadQueueUrl,
    deliveriesQueueUrl: OUTPUTS.DeliveriesQueueUrl,
    deadDeliveriesQueueUrl: OUTPUTS.DeliveriesDeadQueueUrl,
    bucket: OUTPUTS.BucketName,
    topicArn: OUTPUTS.TopicArn,
    warnings: [],
  });
  expect(config.aws.region).toBe("eu-central-1");
});

test("run again, it replaces its own lines and keeps every other one, and who could read the file no longer can", async () => {
  await setup();
  const own =
    "# mine\nKAMADO_MODEL=/models/a b.gguf\nexport KAMADO_BUCKET=old\nKAMADO_BUCKET=older\nAWS_SECRET_ACCESS_KEY=s3cr3t";
  writeFileSync(file, own, { mode: 0o644 });
  await setup();
  const [comment, model, bucket, secret, ...rest] = linesOf();
  expect([comment, model, bucket, secret]).toEqual([
    "# mine",
    "KAMADO_MODEL=/models/a b.gguf",
    `KAMADO_BUCKET=${OUTPUTS.BucketName}`,
    "AWS_SECRET_ACCESS_KEY=s3cr3t",
  ]);
  expect(rest.filter((line) => line.startsWith("KAMADO_BUCKET"))).toEqual([]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const once = readFileSync(file, "utf8");
  await setup();
  expect(readFileSync(file, "utf8")).toBe(once);
  expect(readdirSync(join(file, ".."))).toEqual(["kamado.env"]);
});

test("a file that is a symbolic link stays one: what it points to is written, whether it was there or not", async () => {
  const target = join(file, "../../dotfiles/kamado.env");
  mkdirSync(join(file, ".."));
  symlinkSync("../dotfiles/kamado.env", file);
  await setup();
  writeFileSync(target, `MINE=1\n${readFileSync(target, "utf8")}`, { mode: 0o644 });
  await setup();
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
  expect(readlinkSync(file)).toBe("../dotfiles/kamado.env");
  expect(readFileSync(target, "utf8")).toMatch(/^MINE=1\nAWS_REGION=eu-central-1\n/);
  expect(statSync(target).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(target, ".."))).toEqual(["kamado.env"]);
});

test("a link that ends nowhere but in itself is an error, and loses nothing", async () => {
  mkdirSync(join(file, ".."));
  symlinkSync(file, file);
  await expect(setup()).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining("ELOOP"),
  });
  expect(readdirSync(join(file, ".."))).toEqual(["kamado.env"]);
});

test("a file from Windows is understood: its own lines are replaced, and none ends with a return", async () => {
  mkdirSync(join(file, ".."));
  writeFileSync(file, "# mine\r\nKAMADO_BUCKET=old\r\nKAMADO_MODEL=small\r\n");
  await setup();
  expect(linesOf().slice(0, 3)).toEqual([
    "# mine",
    `KAMADO_BUCKET=${OUTPUTS.BucketName}`,
    "KAMADO_MODEL=small",
  ]);
  expect(readFileSync(file, "utf8")).not.toContain("\r");
});

test("the next steps work in a folder with blanks in its name, and name the service", async () => {
  const said = await setup({ file: join(file, "..", "my settings", "it's.env") });
  expect(said).toContain(`. '${join(file, "..", "my settings")}/it'\\''s.env'; set +a`);
  expect(said).toContain("kamado service install");
});

test("what an owner chose stays, a key that is there is not asked for again, and an emulator of before is gone", async () => {
  mkdirSync(join(file, ".."));
  writeFileSync(
    file,
    "KAMADO_POLL_SECONDS=5\nAWS_ENDPOINT_URL=http://127.0.0.1:4566\nAWS_ACCESS_KEY_ID=AKIA\n",
  );
  vi.stubEnv("AWS_ENDPOINT_URL_CLOUDFORMATION", endpoint);
  const said = await setupAws({ stack: "kamado", file }, loadConfig(KEYS, {}));
  vi.unstubAllEnvs();
  expect(linesOf()).toEqual(["KAMADO_POLL_SECONDS=5", "AWS_ACCESS_KEY_ID=AKIA", ...ALL]);
  expect(said).toContain("Its access key stays as it was. To start the worker:");
  expect(said).not.toContain("create-access-key");
});

test("--dry-run writes nothing, and shows of other lines only their names", async () => {
  await setup();
  writeFileSync(file, "AWS_SECRET_ACCESS_KEY=s3cr3t\n");
  const said = await setup({ dryRun: true });
  expect(said).toContain("AWS_SECRET_ACCESS_KEY=…\nAWS_REGION=eu-central-1\n");
  expect(said).not.toContain("s3cr3t");
  expect(readFileSync(file, "utf8")).toBe("AWS_SECRET_ACCESS_KEY=s3cr3t\n");
});

test("--json has the variables for a script, and no secret of the file", async () => {
  const { variables, ...rest } = JSON.parse(await setup({ json: true, dryRun: true }));
  expect(variables.KAMADO_QUEUE_URL).toBe(OUTPUTS.JobsQueueUrl);
  expect(rest).toEqual({
    file,
    written: false,
    workerUser: OUTPUTS.WorkerUserName,
    apiUrl: OUTPUTS.JobsApiUrl,
  });
});

test.each([
  [
    "one that does not exist",
    400,
    failure("ValidationError", "Stack with id kamado does not exist"),
    "config_invalid",
    /no stack kamado in us-east-1/,
    /--region/,
  ],
  [
    "one that may not be read",
    403,
    failure("AccessDenied", "User is not authorized"),
    "stack_unavailable",
    /not authorized/,
    /DescribeStacks/,
  ],
  [
    "one that is not complete",
    200,
    stackOf("CREATE_IN_PROGRESS", {}),
    "config_invalid",
    /CREATE_IN_PROGRESS/,
    /Wait/,
  ],
  [
    "one that failed",
    200,
    stackOf("ROLLBACK_COMPLETE", OUTPUTS),
    "config_invalid",
    /ROLLBACK_COMPLETE/,
    /describe-stack-events/,
  ],
  ...[
    ["REVIEW_IN_PROGRESS", /did not execute/],
    ["DELETE_IN_PROGRESS", /once it is gone/],
    ["DELETE_FAILED", /infra\/remove.sh kamado/],
    ["ROLLBACK_IN_PROGRESS", /describe-stack-events --stack-name kamado/],
    ["ROLLBACK_COMPLETE", /delete-stack --stack-name kamado/],
    ["CREATE_FAILED", /delete-stack/],
  ].map(
    ([status, hint]) =>
      [
        status,
        200,
        stackOf(status as string, OUTPUTS),
        "config_invalid",
        new RegExp(status as string),
        hint,
      ] as [string, number, string, string, RegExp, RegExp],
  ),
  [
    "another's",
    200,
    stackOf("CREATE_COMPLETE", { BucketName: "x" }),
    "config_invalid",
    /no output Region, JobsQueueUrl/,
    /infra\/template.yaml/,
  ],
  ["no AWS at all", 200, "<html>hello</html>", "stack_unavailable", /is not AWS/, /AWS_ENDPOINT_URL/],
])(
  "of a stack that cannot be used is said why, and what to do: %s",
  async (_, status, body, code, message, hint) => {
    answer = { status, body };
    await expect(setup()).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
    expect(() => statSync(file)).toThrow("ENOENT");
  },
);

test("without a name, without credentials and in another region: said before or instead of a guess", async () => {
  await expect(setup({ stack: "" })).rejects.toMatchObject({ code: "config_invalid" });
  answer = { status: 400, body: failure("ValidationError", "Stack with id kamado does not exist") };
  await expect(setup({ region: "ap-northeast-1" })).rejects.toThrow("no stack kamado in ap-northeast-1");
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
  vi.stubEnv("HOME", join(file, "..", "nobody"));
  for (const name of Object.keys(process.env)) if (/^AWS_(?!EC2)/.test(name)) vi.stubEnv(name, undefined);
  const none = setupAws({ stack: "kamado", file }, loadConfig({}, { AWS_ENDPOINT_URL: endpoint }));
  await expect(none).rejects.toMatchObject({
    code: "stack_unavailable",
    detail: { awsFailure: "no_credentials" },
    hint: expect.stringContaining("AWS_PROFILE"),
  });
  vi.unstubAllEnvs();
});

test("a stack whose update was taken back still has its outputs", async () => {
  answer = { status: 200, body: stackOf("UPDATE_ROLLBACK_COMPLETE", OUTPUTS) };
  await setup();
  expect(linesOf()).toContain(ALL[1]);
});

test("a file that cannot be written is named", async () => {
  const blocked = join(mkdtempSync(join(tmpdir(), "kamado-setup-")), "file");
  writeFileSync(blocked, "");
  await expect(setup({ file: join(blocked, "kamado.env") })).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining("ENOTDIR"),
    hint: expect.stringContaining("may write"),
  });
});
