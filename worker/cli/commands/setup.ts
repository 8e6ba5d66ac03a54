// `kamado setup aws`: writes the worker's environment file from the outputs of the stack that infra/template.yaml made. It changes nothing
// on AWS and writes no access key.
import { resolve } from "node:path";
import { Command } from "commander";
import { readStack, type Stack } from "../../aws/stack.ts";
import { type Config, serviceEnvFile } from "../../config/config.ts";
import { hasVariable, withVariables } from "../../config/environment-file.ts";
import { readSettingsFile, replaceSettingsFile } from "../../config/settings-file.ts";
import { keysOf } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { type Flags, flagsOf } from "../flags.ts";
import { shellWord } from "../shell-word.ts";

export function setupCommand(): Command {
  const setup = new Command("setup").description("write the settings of a worker");
  const aws = setup
    .command("aws")
    .description("write the worker's environment file from the stack of infra/template.yaml")
    .option("--stack <name>", "the name of the stack", "kamado")
    .option("--region <region>", "where the stack is (AWS_REGION)")
    .option("--file <path>", "the file to write; other lines in it stay [~/.config/kamado/kamado.env]")
    .option("--dry-run", "show the file, and write nothing")
    .option("--json", "print one JSON line with the variables");
  aws.action(async (_, command: Command) => {
    process.stdout.write(await setupAws(flagsOf(command)));
  });
  examples(aws, [
    "setup aws --stack kamado",
    "setup aws --stack kamado --region eu-central-1 --dry-run",
    "setup aws --json | jq -r .variables.KAMADO_QUEUE_URL",
  ]);
  return setup;
}

/** Resolves with what to print. */
export async function setupAws(flags: Flags, config: Config = configOf()): Promise<string> {
  const path = typeof flags.file === "string" ? resolve(flags.file) : serviceEnvFile();
  const { region, endpoint, credentials } = config.aws;
  const place = { region: typeof flags.region === "string" ? flags.region : region, endpoint };
  const name = String(flags.stack ?? "kamado");
  const stack = await readStack({ ...place, ...(credentials && { credentials: keysOf(credentials) }) }, name);
  const before = (await readSettingsFile(path)) ?? "";
  const variables: Record<string, string> = {
    ...stack.variables,
    // An emulator's: the worker must find it too.
    ...(endpoint !== undefined && { AWS_ENDPOINT_URL: endpoint }),
    // Half as many calls as by default while nothing is to do; they are what an idle worker costs.
    ...(!hasVariable(before, "KAMADO_POLL_SECONDS") && { KAMADO_POLL_SECONDS: "20" }),
  };
  // An emulator that an earlier run wrote has none of these queues.
  const text = withVariables(before, { ...variables, AWS_ENDPOINT_URL: variables.AWS_ENDPOINT_URL });
  const isDry = flags.dryRun === true;
  // Others must not read the keys that may be in it, whatever it was before.
  if (!isDry) await replaceSettingsFile(path, text, 0o600);
  const { workerUser, apiUrl } = stack;
  if (flags.json === true)
    return `${JSON.stringify({ file: path, written: !isDry, variables, workerUser, apiUrl })}\n`;
  return isDry
    ? `# ${path} would be:\n${shown(text, variables)}`
    : nextSteps(path, stack, hasVariable(before, "AWS_ACCESS_KEY_ID"));
}

/** The file for a terminal: what is not ours may be a secret, so only its name is shown. */
const shown = (text: string, variables: Record<string, string>) =>
  text.replaceAll(/^(\s*(?:export\s+)?([A-Za-z_]\w*)\s*=).*$/gm, (line, start, name) =>
    name in variables ? line : `${start}…`,
  );

function nextSteps(path: string, { workerUser, apiUrl }: Stack, hasKey: boolean): string {
  return `${path} is written.

${keySteps(path, workerUser, hasKey)}

  set -a; . ${shellWord(path)}; set +a; ./kamado worker

or install it as a service, which reads that file itself:

  ./kamado service install
${apiUrl === undefined ? "" : `\nJobs can also be sent with POST to\n${apiUrl}\n`}`;
}

function keySteps(path: string, workerUser: string | undefined, hasKey: boolean): string {
  if (hasKey) return "Its access key stays as it was. To start the worker:";
  if (workerUser !== undefined)
    return `The worker needs an access key of its user. This makes one and writes it
into that file, without showing it:

  aws iam create-access-key --user-name ${workerUser} --output text --query \\
    "AccessKey.[join('=',['AWS_ACCESS_KEY_ID',AccessKeyId]),
                join('=',['AWS_SECRET_ACCESS_KEY',SecretAccessKey])]" \\
    | tr '\\t' '\\n' >> ${shellWord(path)}

Then start the worker:`;
  return `The worker needs credentials of the user, role or group that you named when you
deployed the stack. Write an access key into that file as AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY. Then start the worker:`;
}
