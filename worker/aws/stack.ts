// Reads what a stack of infra/template.yaml made: the outputs, and the worker's variables that they become.
import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { type AwsFailure, KamadoError } from "../errors.ts";
import { type AwsConfig, clientOptions } from "./clients.ts";
import { healthOf, NO_CREDENTIALS_HINT, NOT_AWS_HINT } from "./errors.ts";

const VARIABLES = {
  Region: "AWS_REGION",
  JobsQueueUrl: "KAMADO_QUEUE_URL",
  JobsDeadQueueUrl: "KAMADO_DEAD_QUEUE_URL",
  DeliveriesQueueUrl: "KAMADO_DELIVERIES_QUEUE_URL",
  DeliveriesDeadQueueUrl: "KAMADO_DEAD_DELIVERIES_QUEUE_URL",
  BucketName: "KAMADO_BUCKET",
  TopicArn: "KAMADO_TOPIC_ARN",
} as const;

export const READ_OUTPUTS = Object.keys(VARIABLES);

export type Stack = {
  /** For the worker's environment. */
  variables: Record<string, string>;
  /** The user that the stack created, whose access key is still to be made. */
  workerUser: string | undefined;
  apiUrl: string | undefined;
};

/** Throws `stack_unavailable` when AWS cannot be asked, and `config_invalid` when there is no such stack or it is another's. */
export async function readStack(config: AwsConfig, name: string): Promise<Stack> {
  // AWS takes an empty name for all stacks.
  if (name === "") throw new KamadoError("config_invalid", "--stack: expected the name of a stack.");
  const client = new CloudFormationClient(clientOptions(config));
  try {
    const { Stacks = [] } = await client
      .send(new DescribeStacksCommand({ StackName: name }))
      .catch((thrown) => refuse(thrown, name, config));
    const [found] = Stacks;
    // A web server that answers 200 to everything.
    if (found?.StackStatus === undefined) refuse(new Error("Deserialization error"), name, config);
    const { StackStatus, Outputs = [] } = found;
    const outputs = Object.fromEntries(Outputs.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
    checkStack(name, StackStatus, outputs);
    return {
      variables: Object.fromEntries(
        Object.entries(VARIABLES).map(([output, variable]) => [variable, outputs[output]!]),
      ),
      workerUser: outputs.WorkerUserName,
      apiUrl: outputs.JobsApiUrl,
    };
  } finally {
    client.destroy();
  }
}

// A stack that is being updated, or whose update was taken back, has its resources.
const HAS_RESOURCES = /^(CREATE|UPDATE|IMPORT)_COMPLETE$|^UPDATE_|^IMPORT_ROLLBACK/;

const STATUS_HINTS: readonly [RegExp, string][] = [
  [
    /^(CREATE|IMPORT)_IN_PROGRESS$/,
    "Wait until it is complete (`aws cloudformation wait stack-create-complete --stack-name NAME`) and run the command again.",
  ],
  [
    /^REVIEW_IN_PROGRESS$/,
    "It has nothing yet: somebody prepared a change set and did not execute it. Run `aws cloudformation deploy` again.",
  ],
  [/^DELETE_(IN_PROGRESS|COMPLETE)$/, "It is deleted. Deploy infra/template.yaml again once it is gone."],
  [
    /^DELETE_FAILED$/,
    "`infra/remove.sh NAME` deletes the rest of it. Then deploy infra/template.yaml again.",
  ],
  [
    /^ROLLBACK_IN_PROGRESS$/,
    "It could not be created. `aws cloudformation describe-stack-events --stack-name NAME` says why; deploy it again when that is over and it is deleted.",
  ],
  [
    /./,
    "It could not be created. `aws cloudformation describe-stack-events --stack-name NAME` says why. Delete it (`aws cloudformation delete-stack --stack-name NAME`) and deploy it again.",
  ],
];

function checkStack(name: string, status: string, outputs: Record<string, string | undefined>): void {
  if (!HAS_RESOURCES.test(status))
    throw new KamadoError("config_invalid", `The stack ${name} is ${status}.`, {
      hint: STATUS_HINTS.find(([pattern]) => pattern.test(status))![1].replaceAll("NAME", name),
    });
  const missing = READ_OUTPUTS.filter((output) => !outputs[output]);
  if (missing.length > 0)
    throw new KamadoError("config_invalid", `The stack ${name} has no output ${missing.join(", ")}.`, {
      hint: "Deploy infra/template.yaml of this version under that name, or name the stack that was made with it.",
    });
}

const HINTS: Partial<Record<AwsFailure, string>> = {
  no_credentials: NO_CREDENTIALS_HINT,
  not_aws: NOT_AWS_HINT,
  credentials:
    "Run it as somebody who may do cloudformation:DescribeStacks, such as whoever deployed the stack (AWS_PROFILE); the worker's own key may not.",
};

function refuse(thrown: unknown, name: string, { region }: AwsConfig): never {
  const { message = "" } = (thrown ?? {}) as { message?: string };
  if (/does not exist/i.test(message))
    throw new KamadoError("config_invalid", `There is no stack ${name} in ${region}.`, {
      cause: thrown,
      hint: "`aws cloudformation list-stacks` shows those that there are. Set AWS_REGION or --region if it is in another region.",
    });
  const awsFailure = healthOf(thrown);
  const hint = HINTS[awsFailure];
  const why = awsFailure === "not_aws" ? "what answers is not AWS." : message;
  throw new KamadoError("stack_unavailable", `The stack ${name} cannot be read: ${why}`, {
    cause: thrown,
    detail: { awsFailure },
    ...(hint !== undefined && { hint }),
  });
}
