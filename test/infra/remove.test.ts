// infra/remove.sh against an AWS CLI that is a script: what it does, in which order, and what of that an emulator does not refuse. That the
// real CLI understands these commands is shown in aws-cli.test.ts.
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const SCRIPT = resolve(import.meta.dirname, "../../infra/remove.sh");

/** `$FULL` lists have an object each, `$FAILS` deletions of the stack fail, and `$ERRORS` is what a deletion of objects says. */
const AWS = `#!/bin/sh
echo "$*" >>"$STATE/log"
count() { echo x >>"$STATE/$1"; wc -l <"$STATE/$1"; }
case "$*" in
  *"OutputKey=='BucketName'"*) echo my-bucket ;;
  *"OutputKey=='WorkerUserName'"*) echo kamado-worker ;;
  *"OutputKey=='"*PolicyArn*) echo "arn:$(echo "$*" | sed "s/.*=='\\([A-Za-z]*\\)'.*/\\1/")" ;;
  *list-access-keys*) echo AKIA1 AKIA2 ;;
  *list-object-versions*)
    if [ "$(count list)" -le "$FULL" ]; then echo '{"Objects": [{"Key": "a", "VersionId": "1"}]}'; else echo '{"Objects": []}'; fi ;;
  *delete-objects*) echo "$ERRORS" ;;
  *arn:EnqueuerPolicyArn*PolicyUsers*) echo door-lambda ;;
  *arn:EnqueuerPolicyArn*PolicyRoles*) echo a-role ;;
  *list-entities*) echo None ;;
  *"wait stack-delete-complete"*) [ "$(count wait)" -gt "$FAILS" ] || exit 255 ;;
esac
`;

async function remove(given: { full?: number; fails?: number; errors?: string; yes?: string } = {}) {
  const { full = 0, fails = 0, errors = "None", yes = "1" } = given;
  const state = mkdtempSync(join(tmpdir(), "kamado-remove-"));
  mkdirSync(join(state, "bin"));
  writeFileSync(join(state, "bin/aws"), AWS);
  chmodSync(join(state, "bin/aws"), 0o755);
  const env = {
    PATH: `${join(state, "bin")}:${process.env.PATH}`,
    TMPDIR: state,
    STATE: state,
    FULL: String(full),
    FAILS: String(fails),
    ERRORS: errors,
    YES: yes,
  };
  const child = promisify(execFile)("sh", [SCRIPT, "kamado"], { env, timeout: 30_000 });
  child.child.stdin!.end();
  const { code = 0, stdout, stderr } = await child.catch((error) => error);
  const called = readFileSync(join(state, "log"), "utf8").split("\n");
  const did = called
    .filter((line) => /delete-|detach-/.test(line))
    .map((line) => line.replace(/ file:.*/, " …"));
  return { code, stdout: String(stdout), stderr: String(stderr), did };
}

const KEYS = ["AKIA1", "AKIA2"].map(
  (key) => `iam delete-access-key --user-name kamado-worker --access-key-id ${key}`,
);
const OBJECTS = "s3api delete-objects --bucket my-bucket --delete …";
const STACK = "cloudformation delete-stack --stack-name kamado";

test("keys go first, so that no worker writes meanwhile; then all objects, then the stack", async () => {
  const { code, did, stdout } = await remove({ full: 2 });
  const waits = "cloudformation wait stack-delete-complete --stack-name kamado";
  expect([code, did]).toEqual([0, [...KEYS, OBJECTS, OBJECTS, STACK, waits]]);
  expect(stdout).toContain("The stack kamado is gone");
});

test("a stack that AWS keeps is deleted once more, without what somebody attached or wrote meanwhile", async () => {
  const { code, did, stderr } = await remove({ fails: 1 });
  expect(code).toBe(0);
  expect(stderr).toContain("once more");
  expect(did.filter((line) => !line.includes("wait"))).toEqual([
    ...KEYS,
    STACK,
    "iam detach-user-policy --user-name door-lambda --policy-arn arn:EnqueuerPolicyArn",
    "iam detach-role-policy --role-name a-role --policy-arn arn:EnqueuerPolicyArn",
    STACK,
  ]);
});

test("a stack that AWS keeps all the same is a failure", async () => {
  const { code, stdout } = await remove({ fails: 2 });
  expect([code, stdout]).toEqual([255, ""]);
});

test("what cannot be deleted ends it with the reason, and the stack stays", async () => {
  const { code, did, stderr } = await remove({ full: 5, errors: "a\tAccessDenied\tAccess Denied" });
  expect([code, did]).toEqual([1, [...KEYS, OBJECTS]]);
  expect(stderr).toContain("my-bucket cannot be emptied: a\tAccessDenied");
});

test("without an answer nothing is deleted", async () => {
  const { code, did, stderr } = await remove({ full: 1, yes: "" });
  expect([code, did]).toEqual([1, []]);
  expect(stderr).toContain("Nothing was deleted.");
});
