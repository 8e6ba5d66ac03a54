// infra/template.yaml as a file: what cfn-lint and checkov say of it, and that it has the names, numbers and limits that the rest of
// Kamado counts on. What it does is shown in policies.test.ts and demo.test.ts.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
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

test("README.md beside it names every parameter", () => {
  const readme = readFileSync(join(TEMPLATE, "../README.md"), "utf8");
  const parameters = /^Parameters:\n([\s\S]*?)^\S/m.exec(text)![1]!;
  const names = [...parameters.matchAll(/^ {2}(\w+):/gm)].map(([, name]) => name!);
  expect(names.filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
});
