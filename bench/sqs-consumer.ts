// The peer of the utilisation table. It is no dependency of Kamado: the first run installs it into the data folder.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { loadConfig } from "../worker/config/config.ts";
import { KamadoError } from "../worker/errors.ts";

const PACKAGE = "sqs-consumer@15.0.3";

export type SqsConsumer = {
  start(): void;
  stop(options?: { abort?: boolean }): void;
  on(name: string, listener: () => void): void;
};
export type CreateConsumer = (options: {
  queueUrl: string;
  sqs: SQSClient;
  batchSize: number;
  waitTimeSeconds: number;
  handleMessage(message: unknown): Promise<unknown>;
}) => SqsConsumer;

export async function loadSqsConsumer(): Promise<CreateConsumer> {
  const folder = join(loadConfig().dataDir, "bench/peers");
  const entry = join(folder, "node_modules/sqs-consumer/dist/esm/index.js");
  if (!existsSync(entry)) install(folder);
  const { Consumer } = (await import(pathToFileURL(entry).href)) as { Consumer: { create: CreateConsumer } };
  return (options) => Consumer.create(options);
}

function install(folder: string): void {
  process.stderr.write(`installing ${PACKAGE} into ${folder}, once\n`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const flags = ["--no-audit", "--no-fund", "--ignore-scripts"];
  const { status, stderr } = spawnSync("npm", ["install", ...flags, PACKAGE], {
    cwd: folder,
    encoding: "utf8",
  });
  if (status === 0) return;
  throw new KamadoError(
    "tool_missing",
    `${PACKAGE} cannot be installed; measure without it: --alone. npm says: ${stderr?.trim().split("\n").at(-1)}`,
  );
}
