// The commands of infra/README.md, run by the AWS CLI: deploy in one, remove in one. The CLI is started a dozen times, which is too dear for
// every run of the tests.
import { execFile } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { DEPLOY_MS, deploy, whyNotAll, whyNotDeployed } from "./deployed.ts";

const run = promisify(execFile);
/** A command that hangs must not outlive the test. */
const LIMIT = { timeout: 60_000 };
const ROOT = resolve(import.meta.dirname, "../..");
const TEXT = { contentType: "text/plain" };

const whyNoCli = () =>
  run("aws", ["--version"]).then(
    () => null,
    () => "the AWS CLI is not installed",
  );

test(
  "one command deploys a second Kamado, one removes the first with all versions and keys, and the second stays",
  async (context) => {
    const skipped = whyNotAll() ?? whyNotDeployed() ?? (await whyNoCli());
    if (skipped !== null) return context.skip(skipped);
    const deployed = await deploy();
    const clients = makeAwsClients(deployed.admin);
    try {
      const home = mkdtempSync(join(tmpdir(), "kamado-aws-"));
      const env = {
        PATH: process.env.PATH,
        HOME: home,
        AWS_ENDPOINT_URL: deployed.admin.endpoint,
        // The first version of the CLI knows no other name.
        AWS_DEFAULT_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "test",
        AWS_SECRET_ACCESS_KEY: "test",
        YES: "1",
      };
      const args = ["--stack-name", "second", "--capabilities", "CAPABILITY_NAMED_IAM"];
      const template = [
        "--template-file",
        "infra/template.yaml",
        "--parameter-overrides",
        "NamePrefix=second",
      ];
      await run("aws", ["cloudformation", "deploy", ...args, ...template], { cwd: ROOT, env, ...LIMIT });

      const bucket = s3Bucket(clients.s3, deployed.outputs.BucketName!);
      for (const text of ["old", "new"]) await bucket.put("results/a.json", text, TEXT);
      await bucket.put("in/b.jpg", "x", TEXT);
      await bucket.remove(["in/b.jpg"]);
      // More delete markers than one call deletes: each lock of a job leaves one.
      const locks = Array.from({ length: 1_200 }, (_, nth) => `running/${nth}.json`);
      await bucket.remove(locks.slice(0, 1_000));
      await bucket.remove(locks.slice(1_000));
      await deployed.keyOf(deployed.outputs.WorkerUserName!);
      const { stdout } = await run("infra/remove.sh", ["kamado"], { cwd: ROOT, env, ...LIMIT });
      expect(stdout).toContain("The stack kamado is gone");
      await expect(bucket.list("results/")).rejects.toMatchObject({ code: "storage_unavailable" });
      expect(await s3Bucket(clients.s3, "second-000000000000-us-east-1").list("")).toEqual([]);
      await expect(run("infra/remove.sh", ["kamado"], { cwd: ROOT, env, ...LIMIT })).rejects.toMatchObject({
        stderr: expect.stringContaining("does not exist"),
      });
      const unsure = run("infra/remove.sh", ["second"], { cwd: ROOT, ...LIMIT, env: { ...env, YES: "" } });
      // Nobody types an answer.
      unsure.child.stdin!.end();
      await expect(unsure).rejects.toMatchObject({
        stderr: expect.stringContaining("Nothing was deleted."),
      });
    } finally {
      clients.destroy();
      await deployed.stop();
    }
  },
  DEPLOY_MS,
);
