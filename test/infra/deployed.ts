// infra/template.yaml, deployed into MiniStack with IAM enforced. What is not encrypted is refused there as on AWS; since the emulator
// listens on the loopback address without TLS, a proxy stands in front of it and says that TLS ended there.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import {
  CloudFormationClient,
  CreateStackCommand,
  DescribeStackEventsCommand,
  DescribeStacksCommand,
  waitUntilStackCreateComplete,
} from "@aws-sdk/client-cloudformation";
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  GetPolicyCommand,
  GetPolicyVersionCommand,
  IAMClient,
  PutUserPolicyCommand,
} from "@aws-sdk/client-iam";
import type { AwsConfig } from "../../worker/aws/clients.ts";
import { locally } from "../conformance/emulated.ts";
import { EMULATORS, whyNot } from "../emulators/emulators.ts";
import { startEmulator } from "../emulators/start.ts";

export const TEMPLATE = join(import.meta.dirname, "../../infra/template.yaml");
export const STACK = "kamado";
export const ENQUEUER = "door-lambda";
export const OPERATOR = "me";
export const whyNotDeployed = () => whyNot(EMULATORS.ministack);
export { whyNotAll } from "../emulators/emulators.ts";

export type Statement = {
  Sid: string;
  Effect: string;
  Action: string | string[];
  Resource: string | string[];
};
export type Deployed = Awaited<ReturnType<typeof deploy>>;

/** Longer than the emulator takes to start on a busy machine. */
export const DEPLOY_MS = 240_000;

export async function deploy(parameters: Record<string, string> = {}) {
  await using stack = new AsyncDisposableStack();
  const enforced = (port: number) => ({ ...EMULATORS.ministack.variables(port), AUTH: "true" });
  const emulator = await startEmulator({ ...EMULATORS.ministack, variables: enforced });
  stack.defer(emulator.stop);
  const proxy = await startTlsProxy(emulator.endpoint);
  stack.defer(proxy.stop);
  const admin = locally(proxy.url);
  const formation = new CloudFormationClient(admin as object);
  const iam = new IAMClient(admin as object);
  stack.defer(() => [formation, iam].forEach((client) => void client.destroy()));
  for (const UserName of [ENQUEUER, OPERATOR]) await iam.send(new CreateUserCommand({ UserName }));
  const all = { EnqueuerUserName: ENQUEUER, OperatorUserName: OPERATOR, ...parameters };
  const outputs = await createStack(formation, all, proxy.url);

  const keyOf = async (UserName: string): Promise<AwsConfig> => {
    const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
    const credentials = {
      accessKeyId: AccessKey!.AccessKeyId!,
      secretAccessKey: AccessKey!.SecretAccessKey!,
    };
    return { ...admin, credentials };
  };
  const opened = stack.move();
  return {
    admin,
    outputs,
    /** The emulator without the proxy: a connection that is not encrypted. */
    unencrypted: emulator.endpoint,
    keyOf,
    /** A new user that may do exactly this. */
    async userWith(statements: readonly Statement[]): Promise<AwsConfig> {
      const UserName = `test-${randomUUID()}`;
      await iam.send(new CreateUserCommand({ UserName }));
      const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: statements });
      await iam.send(new PutUserPolicyCommand({ UserName, PolicyName: "own", PolicyDocument }));
      return await keyOf(UserName);
    },
    /** The statements of a policy as they were deployed. */
    async statementsOf(PolicyArn: string): Promise<Statement[]> {
      const { Policy } = await iam.send(new GetPolicyCommand({ PolicyArn }));
      const VersionId = Policy!.DefaultVersionId!;
      const { PolicyVersion } = await iam.send(new GetPolicyVersionCommand({ PolicyArn, VersionId }));
      return JSON.parse(decodeURIComponent(PolicyVersion!.Document!)).Statement;
    },
    stop: () => opened.disposeAsync(),
  };
}

// AWS asks for sqs:SendMessage when a batch is sent, and so for the others. The emulator asks for the name of the batch call.
const asEmulated = (template: string) =>
  template.replaceAll(/sqs:(SendMessage|DeleteMessage|ChangeMessageVisibility)\b|sns:Publish\b/g, "$&*");

async function createStack(
  client: CloudFormationClient,
  parameters: Record<string, string>,
  endpoint: string,
): Promise<Record<string, string>> {
  const named = { StackName: STACK };
  const command = new CreateStackCommand({
    ...named,
    TemplateBody: asEmulated(readFileSync(TEMPLATE, "utf8")),
    Capabilities: ["CAPABILITY_NAMED_IAM"],
    Parameters: Object.entries(parameters).map(([ParameterKey, ParameterValue]) => ({
      ParameterKey,
      ParameterValue,
    })),
  });
  await client.send(command);
  await waitUntilStackCreateComplete({ client, maxWaitTime: 120, minDelay: 1, maxDelay: 1 }, named).catch(
    async (thrown) => {
      const { StackEvents = [] } = await client.send(new DescribeStackEventsCommand(named));
      const reasons = StackEvents.map(({ ResourceStatusReason }) => ResourceStatusReason).filter(Boolean);
      throw new Error(`the stack was not created: ${reasons.join("; ")}`, { cause: thrown });
    },
  );
  const { Stacks } = await client.send(new DescribeStacksCommand(named));
  return Object.fromEntries(
    Stacks![0]!.Outputs!.map(({ OutputKey, OutputValue }) => [
      OutputKey!,
      // The emulator's addresses name its usual port.
      OutputValue!.replace(/^http:\/\/[^/]+/, endpoint),
    ]),
  );
}

/** Keys of one call that deletes. S3 refuses more, the emulator does not. */
const DELETE_LIMIT = 1_000;

/** Passes everything on and adds what a proxy that ended TLS adds. */
async function startTlsProxy(to: string) {
  const server = createServer(async (incoming, answer) => {
    const { method, url, headers } = incoming;
    const many = method === "POST" && /\?delete\b/.test(url!) ? await text(incoming) : undefined;
    if (many !== undefined && many.split("<Key>").length - 1 > DELETE_LIMIT)
      return void answer.writeHead(400).end("<Error><Code>MalformedXML</Code></Error>");
    const onward = request(new URL(url!, to), {
      method,
      headers: { ...headers, "x-forwarded-proto": "https" },
    });
    onward.on("response", (response) => {
      answer.writeHead(response.statusCode!, response.rawHeaders);
      response.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    if (many === undefined) incoming.pipe(onward);
    else onward.end(many);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
