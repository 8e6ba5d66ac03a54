// infra/template.yaml as a file: what cfn-lint and checkov say of it, and that it has the names, numbers and limits that the rest of
// Kamado counts on. What it does is shown in policies.test.ts and demo.test.ts.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { attributesOf, QUEUES, TOPIC } from "../../worker/aws/resources.ts";
import { pythonOf, TEMPLATE_CHECKS, whyNot } from "../emulators/emulators.ts";
import { TEMPLATE, whyNotAll } from "./deployed.ts";

const text = readFileSync(TEMPLATE, "utf8");
/** The lines of a resource, without its comments. */
const resource = (name: string) =>
  new RegExp(`^  ${name}:\\n((?:    .*\\n|\\n)*)`, "m").exec(text)![1]!.replaceAll(/^ *#.*\n/gm, "");
const python = (args: string[]) =>
  promisify(execFile)(pythonOf(TEMPLATE_CHECKS), args, {
    // Neither may look for a newer version of itself.
    env: { PATH: process.env.PATH, HOME: process.env.TMPDIR, CHECKOV_RUN_SCA_PACKAGE_SCAN_V2: "false" },
    maxBuffer: 1e8,
  }).catch((error) => ({ stdout: String(error.stdout), stderr: String(error.stderr) }));

test("cfn-lint finds nothing", async (context) => {
  const missing = whyNotAll() ?? whyNot(TEMPLATE_CHECKS);
  if (missing !== null) return context.skip(missing);
  expect(await python(["-c", "from cfnlint.runner import main; main()", TEMPLATE])).toEqual({
    stdout: "",
    stderr: "",
  });
}, 120_000);

test("checkov finds nothing but what is excepted with a reason, and every exception is needed", async (context) => {
  const missing = whyNotAll() ?? whyNot(TEMPLATE_CHECKS);
  if (missing !== null) return context.skip(missing);
  const flags = ["--framework", "cloudformation", "--compact", "--skip-download", "-o", "json"];
  const { stdout } = await python(["-m", "checkov.main", "-f", TEMPLATE, ...flags]);
  const { summary, results } = JSON.parse(stdout);
  expect(results.failed_checks.map((one: { check_id: string }) => one.check_id)).toEqual([]);
  expect(summary).toMatchObject({ parsing_errors: 0, skipped: text.match(/- id: CKV/g)!.length });
  expect(text.match(/- id: CKV.*\n +comment: \S.+/g)).toHaveLength(summary.skipped);
}, 120_000);

test.each(QUEUES.map((queue) => [queue.name, queue]))(
  "%s has the attributes of the embedded one",
  (_, queue) => {
    const part = queue.name
      .replace("kamado-", "")
      .split("-")
      .map((word) => word[0]!.toUpperCase() + word.slice(1));
    const lines = resource(`${part.join("")}Queue`);
    expect(lines).toContain(`QueueName: !Sub \${NamePrefix}-${queue.name.replace("kamado-", "")}\n`);
    const { RedrivePolicy, ...numbers } = attributesOf(queue, (name) => name) as Record<string, string>;
    for (const [name, value] of Object.entries(numbers)) expect(lines).toContain(`${name}: ${value}\n`);
    expect(lines.includes("maxReceiveCount: 100\n")).toBe(RedrivePolicy !== undefined);
  },
);

test("the topic is called as the embedded one, and nothing holds a key or a secret", () => {
  expect(resource("Topic")).toContain(`TopicName: !Sub \${NamePrefix}-${TOPIC.replace("kamado-", "")}\n`);
  expect(text).not.toMatch(/AWS::IAM::AccessKey|AKIA|SecretAccessKey|NoEcho/);
});

test("every statement that denies covers what is not encrypted, and no statement of a policy has a wildcard as its action", () => {
  expect(text.match(/Sid: OnlyEncrypted/g)).toHaveLength(6);
  expect(text.match(/"aws:SecureTransport": "false"/g)).toHaveLength(6);
  for (const policy of ["WorkerPolicy", "EnqueuerPolicy", "OperatorPolicy", "ApiRole"])
    expect(resource(policy)).not.toMatch(/Action:.*\*|Resource: "?\*/);
});

test("every output that `kamado setup aws` reads is there", async () => {
  const outputs = /^Outputs:\n([\s\S]*)/m.exec(text)![1]!;
  const { READ_OUTPUTS } = await import("../../worker/aws/stack.ts");
  for (const name of READ_OUTPUTS) expect(outputs).toMatch(new RegExp(`^  ${name}:`, "m"));
});

test("it is short enough to be deployed without a bucket for it, and so is each policy in it with the longest names", () => {
  // CloudFormation takes 51,200 bytes in a call. IAM counts the characters of a managed policy without blanks.
  expect(Buffer.byteLength(text)).toBeLessThan(51_200);
  const longest = {
    "Bucket.Arn": `arn:aws-us-gov:s3:::${"b".repeat(63)}`,
    Queue: `arn:aws-us-gov:sqs:ap-southeast-1:123456789012:${"p".repeat(32)}-deliveries-dead`,
  };
  for (const policy of ["WorkerPolicy", "EnqueuerPolicy", "OperatorPolicy"]) {
    const document = resource(policy)
      .replaceAll(/\$\{Bucket\.Arn\}/g, longest["Bucket.Arn"])
      .replaceAll(/!GetAtt \w+\.Arn|!Ref Topic|!Sub arn.*/g, longest.Queue)
      .replaceAll(/\s/g, "");
    expect([policy, document.length < 6_144]).toEqual([policy, true]);
  }
});

test("the role of the API has no condition that API Gateway never meets", () => {
  // It does not say aws:SourceAccount or aws:SourceArn when it takes the role of an integration.
  const trust = /AssumeRolePolicyDocument:[\s\S]*?Policies:/.exec(resource("ApiRole"))![0];
  expect(trust).toContain("apigateway.amazonaws.com");
  expect(trust).not.toContain("Condition");
});

test("another NamePrefix or BucketName loses neither jobs nor objects: what is replaced stays", () => {
  const replaced = text.match(/UpdateReplacePolicy: \w+/g)!;
  expect(replaced).toEqual(Array.from({ length: 5 }, () => "UpdateReplacePolicy: Retain"));
});

type Parameter = { Type: string; Default: unknown; AllowedPattern?: string };
const PARAMETERS = parse(/^Parameters:\n[\s\S]*?^(?=\S)(?!Parameters)/m.exec(text)![0]).Parameters as Record<
  string,
  Parameter
>;
/** As CloudFormation does: the pattern fits the whole value, and each member of a list. */
const fits = (name: string, value: string) => {
  const { Type, AllowedPattern } = PARAMETERS[name]!;
  const members = Type === "CommaDelimitedList" ? value.split(",").map((one) => one.trim()) : [value];
  return members.every((one) => new RegExp(`^(?:${AllowedPattern})$`).test(one));
};

test.each([
  ["NamePrefix", "home-2", ["Home", "2home", "a", "home-", "x".repeat(33)]],
  ["BucketName", "my-own-bucket", ["My_Bucket", "a.b.c", "-a-", "ab"]],
  ["WorkerUserName", "me@example.org", ["arn:aws:iam::123456789012:user/me", "team/me", "a b"]],
  ["EnqueuerRoleName", "door-lambda-role", ["arn:aws:iam::123456789012:role/door"]],
  [
    "MoreInputObjectArns",
    "arn:aws:s3:::photos/in/*, arn:aws:s3:::more.photos/*",
    ["*", "photos/in/*", "arn:aws:s3:::photos"],
  ],
  ["MoreTopicArns", "arn:aws:sns:us-east-1:123456789012:doors", ["*", "arn:aws:sns:*:*:*", "doors"]],
  [
    "MoreResultQueueArns",
    "arn:aws:sqs:us-east-1:123456789012:a.fifo",
    ["*", "https://sqs.us-east-1.amazonaws.com/1/a"],
  ],
  ["UserPoolArn", "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_Ab", ["us-east-1_Ab"]],
  ["RestScope", "jobs/send", ["jobs/send jobs/read"]],
  ["UploadPrefix", "in/doors/", ["doors/", "/in/", "results/"]],
  ["NotificationEmail", "me@example.org", ["me", "a@b, c@d"]],
  ["InputDays", "15", ["1", "14", "-1", "015", ""]],
])("the parameter %s takes %s, and not what is certainly wrong", (name, right, wrong) => {
  expect([fits(name, right), fits(name, String(PARAMETERS[name]!.Default))]).toEqual([true, true]);
  expect(wrong.filter((value) => fits(name, value))).toEqual([]);
});

test("README.md beside it names every parameter", () => {
  const readme = readFileSync(join(TEMPLATE, "../README.md"), "utf8");
  const parameters = /^Parameters:\n([\s\S]*?)^\S/m.exec(text)![1]!;
  const names = [...parameters.matchAll(/^ {2}(\w+):/gm)].map(([, name]) => name!);
  expect(names.filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
});
